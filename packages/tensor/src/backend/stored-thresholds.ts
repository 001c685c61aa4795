import { cpus } from 'node:os';
import { join } from 'node:path';
import type { Addon } from './backend.ts';
import { cacheFolder } from './cache-folder.ts';
import { readMachineFile, writeMachineFile } from './machine-file.ts';

/** Rows of x from which another int8 kernel is taken, by the names in native/kernels/select_matmul.h; 0: never. */
export type KernelThresholds = Readonly<Record<string, number>>;

/** `kernels.json` in {@link cacheFolder}. */
export function thresholdsPath(environment?: Readonly<Record<string, string | undefined>>): string {
  return join(cacheFolder(environment), 'kernels.json');
}

/** The thresholds measured on this machine, if there are any: a missing, foreign or broken file counts as none. */
export function readThresholds(path: string = thresholdsPath()): KernelThresholds | undefined {
  const { thresholds } = readMachineFile(path, machineName) ?? {};
  if (typeof thresholds !== 'object' || thresholds === null) return undefined;
  return Object.values(thresholds).every(isThreshold) ? (thresholds as KernelThresholds) : undefined;
}

function isThreshold(rows: unknown): boolean {
  return Number.isInteger(rows) && Number(rows) >= 0 && Number(rows) < 2 ** 30;
}

/** False where they cannot be written. */
export function writeThresholds(thresholds: KernelThresholds, path: string = thresholdsPath()): boolean {
  return writeMachineFile(path, machineName(), { thresholds });
}

export function applyThresholds(addon: Addon, thresholds: KernelThresholds): void {
  // A name that this version does not have is of another version.
  for (const [name, rows] of Object.entries(thresholds)) addon.setMatmulThreshold(name, rows);
}

function machineName(): string {
  return `${process.arch} ${cpus()[0]?.model ?? 'unknown'}`;
}
