import type { LinearCompute, Matrix, MatrixDescription, Storage } from '@llm/tensor';

import type { Architecture } from './architecture.ts';
import type { ChatTemplate } from './chat-template.ts';
import type { GenerationConfig } from './generation-config.ts';
import type { Tokenizer } from './tokenizer/tokenizer.ts';

export type CheckpointFormat = 'safetensors' | 'gguf' | 'packed' | 'gptq' | 'awq' | 'compressed-tensors' | 'pytorch';

/** Where one tensor lies, as it is stored. Names are those of the Hugging Face model, also when a GGUF file has others. */
export interface TensorInfo {
  readonly name: string;
  /** The format's own word: `F32`, `BF16`, `Q4_1`, ...; `int4-sym` and such for a packed matrix. */
  readonly dtype: string;
  /** Row-major: outputs, then inputs, for the weight of a linear. */
  readonly shape: readonly number[];
  readonly storage: Storage;
  /** In bytes from the start of the storage. */
  readonly offset: number;
  readonly byteLength: number;
}

/** A stored weight that `matrix` could not hand out exactly as it is. */
export interface WeightConversion {
  readonly from: string;
  readonly to: string;
  readonly lossless: boolean;
  /** The largest difference between a stored and a converted weight. */
  readonly largestError: number;
}

export interface PrepareOptions {
  readonly signal?: AbortSignal;
  /** Counts matrices. */
  readonly onProgress?: (progress: { readonly stage: string; readonly done: number; readonly total: number }) => void;
}

/** A model on disk, opened: its headers are read, its weights are mapped and touched only when asked for. */
export interface Checkpoint extends Disposable {
  /** The folder or file. */
  readonly path: string;
  readonly format: CheckpointFormat;
  /** The keys of a Hugging Face config.json, made up from the metadata where the file is GGUF. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly generationConfig: GenerationConfig;
  readonly architecture: Architecture;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly eosTokenIds: readonly number[];
  readonly bosTokenId: number | undefined;
  /** What `matrix` changed so far, by name of the weight. Empty for formats whose weights can be used as they lie. */
  readonly conversions: ReadonlyMap<string, WeightConversion>;

  /** Whether the checkpoint holds the weight, also under another name of the same matrix (tied embeddings). */
  has(name: string): boolean;

  /**
   * The weight of a linear or an embedding, dense or packed, [outputs, inputs]. The checkpoint owns the matrix: it is made
   * once and lives until the checkpoint is disposed. Throws `MissingWeightError`.
   */
  matrix(name: string): Matrix;

  /**
   * The format and shape of what `matrix` gives or will give, found out without laying weights out anew. Weights with scales
   * beyond float16 become `bf16` all the same. Throws `MissingWeightError`.
   */
  describe(name: string): MatrixDescription;

  /**
   * The arithmetic that the model's quantization asks for where linears read this weight; undefined where it does not say. In config.json
   * of packed folders: `quantization_config.compute`.
   */
  compute(name: string): LinearCompute | undefined;

  /**
   * Makes matrices ahead, off the event loop, with all threads: `matrix` then gives them at once. Weights that can be used as
   * they lie cost nothing. Rejects with `signal.reason` when aborted.
   * @param names - default: of all matrices
   */
  prepare(names?: Iterable<string>, options?: PrepareOptions): Promise<void>;

  /** A one-dimensional weight (a norm, a bias) as float32. Throws `MissingWeightError`. */
  vector(name: string): Float32Array;

  /** Any tensor as float32, row-major, dequantized. Throws `MissingWeightError`. */
  read(name: string): Float32Array;

  /** Throws `InvalidWeightError` for a weight that holds NaN or infinity. Reads every weight that is named, all by default. */
  checkFinite(names?: Iterable<string>): void;

  /** The tokenizer of the model; made on the first call. */
  tokenizer(): Promise<Tokenizer>;

  /** Undefined where the model has none. */
  chatTemplate(): ChatTemplate | undefined;

  /**
   * What else belongs into a folder of this model, by file name: tokenizer, chat template, generation settings, licence. All but
   * config.json and the weights; made up from the metadata where the file is GGUF.
   */
  companionFiles(): ReadonlyMap<string, Uint8Array>;
}
