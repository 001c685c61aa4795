import type { BlasCalls } from './blas-calls.ts';
import type { GrammarCalls } from './grammar-calls.ts';
import type { MatrixCalls } from './matrix-calls.ts';
import type { OperatorCalls } from './operator-calls.ts';
import type { ProbeCalls } from './probe-calls.ts';
import type { ProgramCalls } from './program-calls.ts';
import type { StorageCalls } from './storage-calls.ts';
import type { VectorCalls } from './vector-calls.ts';

/** What native/addon/addon.cc exports, whether compiled to machine code or to WebAssembly. */
export interface Addon
  extends StorageCalls, MatrixCalls, ProgramCalls, BlasCalls, OperatorCalls, ProbeCalls, VectorCalls, GrammarCalls {
  cpuFeatures(): string[];
  kernelTables(): KernelTable[];
  /** `spin`: threads seldom wait for a CPU, so that they may wait actively for each other. */
  resizePool(threads: number, spin: boolean): void;
  poolThreads(): number;
}

/** The kernels of one instruction set. */
export interface KernelTable {
  readonly isa: string;
  /** Whether this CPU, under this operating system, can run them. */
  readonly runnable: boolean;
}

export type BackendKind = 'native' | 'wasm';

export interface Backend {
  readonly kind: BackendKind;
  readonly addon: Addon;
  /** Brings an array up to date that native code has written after the call that took it. During calls it happens by itself. */
  refresh(array: ArrayBufferView): void;
  /** Threads that could compute now: those of WebAssembly begin some time after they have been asked for. */
  runningThreads(): number;
}
