import { readFileSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { thresholdsPath } from '../backend/stored-thresholds.ts';
import { cpuInfo } from '../cpu.ts';
import { probePeak, probeReadBandwidth } from '../probe.ts';
import type { ThreadPlan } from './thread-plan.ts';

/** Threads by what limits them: arithmetic while prompts are read, memory while single tokens are written. */
export interface MeasuredThreads {
  readonly prefill: number;
  readonly decode: number;
}

/** Operations, or bytes, per second with so many threads. */
export type Speed = (threads: number) => Promise<number>;

/** More threads have to be faster by this factor, or they are left to others. */
const worthwhile = 1.03;

const measuredBytes = 2 ** 28;

/** The speeds that decide, by the probes of `llm bench`. */
export const probes: Readonly<Record<keyof MeasuredThreads, Speed>> = {
  prefill: (threads) => probePeak({ kind: 'int8', threads }),
  decode: (threads) => probeReadBandwidth({ threads, bytes: measuredBytes }),
};

/**
 * Tries the planned number of threads and those that it may have missed: half of it, where fewer threads fill the memory bus, and
 * every processor, where two hardware threads of a core do more than one.
 */
export async function tryThreads(
  planned: number,
  processors: number,
  speeds: Readonly<Record<keyof MeasuredThreads, Speed>> = probes,
): Promise<MeasuredThreads> {
  const candidates = [...new Set([Math.ceil(planned / 2), planned, Math.max(planned, processors)])];
  const fastest = async (speed: Speed): Promise<number> => {
    let best = { threads: planned, speed: 0 };
    for (const threads of candidates) {
      const measured = await speed(threads);
      if (measured > best.speed * worthwhile) best = { threads, speed: measured };
    }
    return best.threads;
  };
  return { prefill: await fastest(speeds.prefill), decode: await fastest(speeds.decode) };
}

/** `threads.json`, beside what else is kept about this machine. */
export function threadsFile(environment: Readonly<Record<string, string | undefined>> = process.env): string {
  return join(dirname(thresholdsPath(environment)), 'threads.json');
}

/** What was measured on this machine, under the same limits; undefined if nothing was. */
export function readThreads(path: string, plan: ThreadPlan): MeasuredThreads | undefined {
  try {
    const { machine, prefill, decode } = JSON.parse(readFileSync(path, 'utf8')) as Partial<SavedThreads>;
    const valid = [prefill, decode].every(
      (count) => Number.isInteger(count) && Number(count) >= 1 && Number(count) <= 1024,
    );
    return valid && machine === machineOf(plan) ? { prefill: Number(prefill), decode: Number(decode) } : undefined;
  } catch {
    return undefined;
  }
}

/** False where it cannot be written, as in a container without a home: then it is measured again another time. */
export async function writeThreads(path: string, plan: ThreadPlan, threads: MeasuredThreads): Promise<boolean> {
  const saved: SavedThreads = { machine: machineOf(plan), ...threads };
  try {
    await mkdir(dirname(path), { recursive: true });
    const part = `${path}.${String(process.pid)}`;
    await writeFile(part, JSON.stringify(saved));
    await rename(part, path);
    return true;
  } catch {
    return false;
  }
}

interface SavedThreads extends MeasuredThreads {
  readonly machine: string;
}

/** The processor and the limits that the plan found: another of them makes a measurement worthless. */
function machineOf({ reasons }: ThreadPlan): string {
  return [...cpuInfo().features, ...reasons].join(' ');
}
