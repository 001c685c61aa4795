import { join } from 'node:path';
import { cacheFolder } from '../backend/cache-folder.ts';
import { readMachineFile, writeMachineFile } from '../backend/machine-file.ts';
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
const probes: Readonly<Record<keyof MeasuredThreads, Speed>> = {
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

/** `threads.json` in {@link cacheFolder}. */
export function threadsFile(environment?: Readonly<Record<string, string | undefined>>): string {
  return join(cacheFolder(environment), 'threads.json');
}

/** What was measured on this machine, under the same limits; undefined if nothing was. */
export function readThreads(path: string, plan: ThreadPlan): MeasuredThreads | undefined {
  const { prefill, decode } = readMachineFile(path, () => machineOf(plan)) ?? {};
  return isCount(prefill) && isCount(decode) ? { prefill, decode } : undefined;
}

function isCount(threads: unknown): threads is number {
  return Number.isInteger(threads) && Number(threads) >= 1 && Number(threads) <= 1024;
}

/** False where it cannot be written. */
export function writeThreads(path: string, plan: ThreadPlan, threads: MeasuredThreads): boolean {
  return writeMachineFile(path, machineOf(plan), threads);
}

/** The processor and the limits that the plan found: another of them makes a measurement worthless. */
function machineOf({ reasons }: ThreadPlan): string {
  return [...cpuInfo().features, ...reasons].join(' ');
}
