import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OutputError } from '../errors.ts';

/** The file that says which process is writing a folder. */
export const LOCK = 'lock';

/**
 * Claims a folder for this process. The lock of a process that is gone is taken over.
 * @returns what gives the folder free again
 * @throws {@link OutputError} if a living process holds it
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const file = join(folder, LOCK);
  for (let attempt = 0; ; attempt++) {
    try {
      await writeFile(file, String(process.pid), { flag: 'wx' });
      return () => rm(file, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || attempt > 0) throw error;
      const owner = Number(await readFile(file, 'utf8').catch(() => ''));
      if (isRunning(owner))
        throw new OutputError(
          folder,
          `process ${owner} is writing this. Wait for it, or choose another output folder.`,
        );
      await rm(file, { force: true });
    }
  }
}

function isRunning(pid: number): boolean {
  // 0 would ask for the whole process group.
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
