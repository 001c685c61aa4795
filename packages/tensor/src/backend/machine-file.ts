import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * What was measured on a machine earlier; undefined where the file is missing, broken, or of another machine.
 * @param machine - names what the measurement is worth something for; asked for only if there is a file
 */
export function readMachineFile(path: string, machine: () => string): Readonly<Record<string, unknown>> | undefined {
  try {
    const stored = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown> | null;
    return stored?.['machine'] === machine() ? stored : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Whole or not at all, also beside other processes.
 * @returns false where it cannot be written, as in a container without a home: then it is measured again another time
 */
export function writeMachineFile(path: string, machine: string, content: object): boolean {
  const written = `${path}.${process.pid}`;
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(written, `${JSON.stringify({ machine, ...content }, null, 2)}\n`);
    renameSync(written, path);
    return true;
  } catch {
    return false;
  }
}
