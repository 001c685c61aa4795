import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { cpus, homedir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Addon } from './backend.ts';

/** Rows of x from which another int8 kernel is taken, by the names in native/kernels/select_matmul.h; 0: never. */
export type KernelThresholds = Readonly<Record<string, number>>;

interface Stored {
  /** What they were measured with: they count for nothing else. */
  readonly machine: string;
  readonly thresholds: KernelThresholds;
}

/** `kernels.json` in `LLM_CACHE`, or in `llm` of the user's cache folder. */
export function thresholdsPath(environment: Readonly<Record<string, string | undefined>> = process.env): string {
  const { LLM_CACHE, XDG_CACHE_HOME } = environment;
  if (LLM_CACHE) return join(LLM_CACHE, 'kernels.json');
  return join(XDG_CACHE_HOME ? XDG_CACHE_HOME : join(homedir(), '.cache'), 'llm', 'kernels.json');
}

/** The thresholds measured on this machine, if there are any: a missing, foreign or broken file counts as none. */
export function readThresholds(path: string = thresholdsPath()): KernelThresholds | undefined {
  try {
    const stored = JSON.parse(readFileSync(path, 'utf8')) as Partial<Stored> | null;
    const { machine, thresholds } = stored ?? {};
    if (machine !== machineName() || typeof thresholds !== 'object') return undefined;
    const valid = Object.entries(thresholds).every(([, rows]) => Number.isInteger(rows) && rows >= 0 && rows < 2 ** 30);
    return valid ? thresholds : undefined;
  } catch {
    return undefined;
  }
}

/** Whole or not at all, also beside other processes. */
export function writeThresholds(thresholds: KernelThresholds, path: string = thresholdsPath()): void {
  mkdirSync(dirname(path), { recursive: true });
  const stored: Stored = { machine: machineName(), thresholds };
  const written = `${path}.${process.pid}`;
  writeFileSync(written, `${JSON.stringify(stored, null, 2)}\n`);
  renameSync(written, path);
}

export function applyThresholds(addon: Addon, thresholds: KernelThresholds): void {
  // A name that this version does not have is of another version.
  for (const [name, rows] of Object.entries(thresholds)) addon.setMatmulThreshold(name, rows);
}

function machineName(): string {
  return `${process.arch} ${cpus()[0]?.model ?? 'unknown'}`;
}
