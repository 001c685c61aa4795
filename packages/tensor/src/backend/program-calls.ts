import type { NativeGrammar } from './grammar-calls.ts';
import type { ProgramDescription } from '../program-description.ts';

/** What native/addon/program_binding.cc exports. One object per program; sequences and requests are numbers. */
export interface NativeProgram {
  createSequence(): number;
  sequenceLength(sequence: number): number;
  sequenceTokens(sequence: number): Int32Array;
  forkSequence(sequence: number): number;
  truncateSequence(sequence: number, length: number): void;
  shiftSequence(sequence: number, keepBlocks: number, dropBlocks: number): void;
  releaseSequence(sequence: number): void;
  /** A sequence with these tokens, whose blocks then come by writeBlock. Nothing else works on it before endRestore. */
  beginRestore(tokens: Int32Array): number;
  writeBlock(sequence: number, block: number, bytes: Uint8Array): void;
  endRestore(sequence: number): void;
  readBlock(sequence: number, block: number): Uint8Array;
  /** Rows of `out` are logits, or hidden states, of `outputs`: positions within `tokens`, ascending. */
  forward(
    request: number,
    sequence: number,
    tokens: Int32Array,
    outputs: Int32Array,
    hidden: boolean,
    out: Float32Array,
  ): void;
  generate(request: number, sequence: number, prompt: Int32Array, options: NativeGenerateOptions): void;
  cancel(request: number): void;
  instructionTimes(): Float64Array;
  instructionNames(): string[];
  statistics(): NativeStatistics;
  /** Part, instruction, begin and end by turns, in seconds. */
  trace(): Float64Array;
  /** Ends the thread and frees the memory; `onEvent` hears of every request that was cut off, then of itself. */
  stop(): void;
}

export interface NativeGenerateOptions extends NativeSamplingOptions {
  readonly grammar: NativeGrammar | undefined;
  readonly maxTokens: number;
  readonly stopTokens: Int32Array;
  readonly logProbabilities: boolean;
  /** Negative: the end of the context ends the generation. */
  readonly shiftKeep: number;
  readonly speculation: 'none' | 'promptLookup' | 'draftModel';
}

export interface NativeSamplingOptions {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  readonly seed: bigint;
  readonly biasTokens: Int32Array;
  readonly biasValues: Float32Array;
}

export interface NativeStatistics {
  readonly blocks: number;
  readonly freeBlocks: number;
  readonly reusableBlocks: number;
  readonly blockBytes: number;
  readonly cacheBytes: number;
  readonly arenaBytes: number;
  readonly scratchBytes: number;
  readonly steps: number;
  readonly tokens: number;
  readonly stepSeconds: number;
  readonly barriers: number;
}

export interface NativeProgramOptions {
  readonly threads: number;
  readonly decodeThreads: number;
  /** Empty for the best. */
  readonly isa: string;
  readonly debug: boolean;
  readonly profile: boolean;
  readonly trace: boolean;
  readonly draft: ProgramDescription | undefined;
}

/** News of one request: tokens, or its end, or both. */
export type NativeEventListener = (
  request: number,
  tokens: Int32Array | undefined,
  logProbabilities: Float32Array | undefined,
  end: NativeEnd | undefined,
) => void;

/** `error` is a code of program-errors.ts, with its numbers in a and b and its text in `name`. */
export interface NativeEnd {
  readonly error?: string;
  readonly a: number;
  readonly b: number;
  readonly name: string;
  readonly reason: number;
  readonly stopToken: number;
  readonly promptTokens: number;
  readonly reusedTokens: number;
  readonly generatedTokens: number;
  readonly promptSeconds: number;
  readonly generateSeconds: number;
  readonly draftedTokens: number;
  readonly acceptedTokens: number;
}

export type NativeProgramConstructor = new (
  description: ProgramDescription,
  options: NativeProgramOptions,
  onEvent: NativeEventListener,
) => NativeProgram;

/** native/addon/program_binding.cc */
export interface ProgramCalls {
  readonly NativeProgram: NativeProgramConstructor;
}
