import { checkOptions, DisposedError, type LinearCompute, type Matrix, type MatrixDescription } from '@llm/tensor';

import type { Architecture } from './architecture.ts';
import { JinjaChatTemplate, type ChatTemplate } from './chat-template.ts';
import type { Checkpoint, CheckpointFormat, PrepareOptions, TensorInfo, WeightConversion } from './checkpoint.ts';
import { InvalidWeightError, MissingWeightError } from './errors.ts';
import type { GenerationConfig } from './generation-config.ts';
import { elementCount } from './number-formats.ts';
import { HuggingFaceTokenizer } from './tokenizer/hugging-face-tokenizer.ts';
import type { TokenizerJson } from './tokenizer/tokenizer-json.ts';
import type { Tokenizer } from './tokenizer/tokenizer.ts';
import { cachedWeights, type WeightCacheOptions } from './weight-cache.ts';
import type { LoadedMatrix, WeightSource } from './weight-source.ts';

/** What the openers of the formats find out about a checkpoint. */
export interface CheckpointParts {
  readonly path: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly generationConfig: GenerationConfig;
  readonly architecture: Architecture;
  readonly eosTokenIds: readonly number[];
  readonly bosTokenId: number | undefined;
  readonly weights: WeightSource;
  /** The arithmetic that linears with a weight are to have, by its name. Default: none says. */
  readonly computes?: ReadonlyMap<string, LinearCompute>;
  readonly chatTemplate: { readonly source: string; readonly tokens: Readonly<Record<string, string>> } | undefined;
  readonly tokenizerSource: () => TokenizerSource;
  readonly companionFiles: () => ReadonlyMap<string, Uint8Array>;
}

/** What makes a tokenizer. */
export interface TokenizerSource {
  /** Where it comes from. */
  readonly file: string;
  readonly json: TokenizerJson;
  /** The keys of tokenizer_config.json. */
  readonly config: Readonly<Record<string, unknown>>;
}

/** A checkpoint of any format. */
export class LoadedCheckpoint implements Checkpoint {
  readonly path: string;
  readonly format: CheckpointFormat;
  readonly config: Readonly<Record<string, unknown>>;
  readonly generationConfig: GenerationConfig;
  readonly architecture: Architecture;
  readonly eosTokenIds: readonly number[];
  readonly bosTokenId: number | undefined;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Throws `TokenizerError` where there is none. */
  readonly tokenizerSource: () => TokenizerSource;
  #weights: WeightSource;
  readonly #computes: ReadonlyMap<string, LinearCompute>;
  readonly #chatTemplate: CheckpointParts['chatTemplate'];
  readonly #companionFiles: () => ReadonlyMap<string, Uint8Array>;
  readonly #matrices = new Map<string, Matrix>();
  readonly #conversions = new Map<string, WeightConversion>();
  #tokenizer: Promise<Tokenizer> | undefined;
  #disposed = false;

  constructor(parts: CheckpointParts) {
    this.path = parts.path;
    this.format = parts.weights.format;
    this.config = parts.config;
    this.generationConfig = parts.generationConfig;
    this.architecture = parts.architecture;
    this.eosTokenIds = parts.eosTokenIds;
    this.bosTokenId = parts.bosTokenId;
    this.tensors = parts.weights.tensors;
    this.#weights = parts.weights;
    this.#computes = parts.computes ?? new Map<string, LinearCompute>();
    this.#chatTemplate = parts.chatTemplate;
    this.tokenizerSource = parts.tokenizerSource;
    this.#companionFiles = parts.companionFiles;
  }

  get conversions(): ReadonlyMap<string, WeightConversion> {
    return this.#conversions;
  }

  has(name: string): boolean {
    return this.#find(name) !== undefined;
  }

  matrix(name: string): Matrix {
    const tensor = this.#getMatrix(name);
    return this.#matrices.get(tensor.name) ?? this.#keep(tensor, this.#weights.matrix(tensor));
  }

  describe(name: string): MatrixDescription {
    const tensor = this.#getMatrix(name);
    const made = this.#matrices.get(tensor.name);
    if (!made) return this.#weights.describe(tensor);
    const { format, rows, columns, groupSize } = made;
    return { format, rows, columns, ...(groupSize !== undefined && { groupSize }) };
  }

  compute(name: string): LinearCompute | undefined {
    return this.#computes.get(this.#find(name)?.name ?? name);
  }

  async prepare(names?: Iterable<string>, options: PrepareOptions = {}): Promise<void> {
    checkOptions(options, ['signal', 'onProgress'], 'prepare()');
    const all = names ? [...names].map((name) => this.#getMatrix(name)) : this.#allMatrices();
    const tensors = [...new Set(all)].filter(
      (tensor) => !this.#matrices.has(tensor.name) && this.#weights.isLaidOutAnew(tensor),
    );
    const total = tensors.length;
    for (const [done, tensor] of tensors.entries()) {
      options.signal?.throwIfAborted();
      options.onProgress?.({ stage: 'import', done, total });
      const loaded = await this.#weights.load(tensor);
      // Whoever disposed of the checkpoint or asked for the matrix meanwhile went first.
      if (this.#disposed || this.#matrices.has(tensor.name)) loaded.matrix[Symbol.dispose]();
      else this.#keep(tensor, loaded);
      if (this.#disposed) throw new DisposedError('checkpoint');
    }
    if (total > 0) options.onProgress?.({ stage: 'import', done: total, total });
  }

  /** A matrix that the caller owns, laid out anew off the event loop. */
  load(name: string): Promise<LoadedMatrix> {
    return this.#weights.load(this.#getMatrix(name));
  }

  /** Keeps what has to be laid out anew in a file, or takes it from there. */
  async useCache(cache: WeightCacheOptions, options: PrepareOptions): Promise<void> {
    this.#weights = await cachedWeights(this.path, this.#weights, cache, options);
  }

  /** Disposes of a matrix that `matrix` has given out; the next call makes it anew. For passes over models larger than memory. */
  release(name: string): void {
    const tensor = this.#find(name);
    if (!tensor) return;
    this.#matrices.get(tensor.name)?.[Symbol.dispose]();
    this.#matrices.delete(tensor.name);
  }

  vector(name: string): Float32Array {
    const tensor = this.#get(name);
    if (tensor.shape.length !== 1) throw this.#invalid(tensor, 'is no vector');
    return this.#read(tensor);
  }

  read(name: string): Float32Array {
    return this.#read(this.#get(name));
  }

  checkFinite(names: Iterable<string> = this.tensors.keys()): void {
    for (const name of names) {
      const tensor = this.#get(name);
      for (const values of this.#weights.values(tensor)) {
        const at = values.findIndex((value) => !Number.isFinite(value));
        if (at >= 0) throw new InvalidWeightError(this.path, tensor.name, `holds ${values[at] as number}`);
      }
    }
  }

  tokenizer(): Promise<Tokenizer> {
    this.#tokenizer ??= Promise.resolve().then(() => {
      const { file, json, config } = this.tokenizerSource();
      return new HuggingFaceTokenizer(file, json, config);
    });
    return this.#tokenizer;
  }

  chatTemplate(): ChatTemplate | undefined {
    return this.#chatTemplate && new JinjaChatTemplate(this.#chatTemplate.source, this.#chatTemplate.tokens);
  }

  companionFiles(): ReadonlyMap<string, Uint8Array> {
    return this.#companionFiles();
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    for (const matrix of this.#matrices.values()) matrix[Symbol.dispose]();
    this.#matrices.clear();
    this.#weights[Symbol.dispose]();
  }

  #find(name: string): TensorInfo | undefined {
    const stored = this.tensors.get(name);
    if (stored) return stored;
    const alias = this.architecture.aliases(name).find((other) => this.tensors.has(other));
    return alias === undefined ? undefined : this.tensors.get(alias);
  }

  #allMatrices(): TensorInfo[] {
    return [...this.tensors.values()].filter(({ shape }) => shape.length === 2);
  }

  #keep(tensor: TensorInfo, { matrix, conversion }: LoadedMatrix): Matrix {
    this.#matrices.set(tensor.name, matrix);
    if (conversion) this.#conversions.set(tensor.name, conversion);
    return matrix;
  }

  #getMatrix(name: string): TensorInfo {
    const tensor = this.#get(name);
    if (tensor.shape.length !== 2) throw this.#invalid(tensor, 'is no matrix');
    return tensor;
  }

  #get(name: string): TensorInfo {
    if (this.#disposed) throw new DisposedError('checkpoint');
    const tensor = this.#find(name);
    if (!tensor) throw new MissingWeightError(this.path, name);
    return tensor;
  }

  #read(tensor: TensorInfo): Float32Array {
    const result = new Float32Array(elementCount(tensor.shape));
    let at = 0;
    for (const values of this.#weights.values(tensor)) {
      result.set(values, at);
      at += values.length;
    }
    return result;
  }

  #invalid(tensor: TensorInfo, reason: string): InvalidWeightError {
    return new InvalidWeightError(this.path, tensor.name, `of shape [${tensor.shape.join(', ')}] ${reason}`);
  }
}
