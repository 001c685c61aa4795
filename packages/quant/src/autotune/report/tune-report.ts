import type { TuneResult } from '../auto-quantize.ts';

/** A tuning run and what a reader needs to place it. */
export interface TuneReport {
  /** The model's name. */
  readonly model: string;
  /** What was measured, for people: "accuracy on lambada_openai, 5153 documents". */
  readonly measure: string;
  readonly result: TuneResult;
  /** The command line that gives this result again. */
  readonly command: string;
  /** Processor, kernels, threads. */
  readonly machine: string;
  /** Bytes per second that this machine reads, probed in the same run, if known. */
  readonly readBandwidth?: number;
  /** ISO date. */
  readonly date: string;
}
