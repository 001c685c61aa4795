import { setImmediate } from 'node:timers/promises';
import type { Checkpoint } from '@llm/models';
import { Matrix, packedByteLength, Storage, type Graph, type Tensor } from '@llm/tensor';
import type { Block } from './blocks.ts';
import type { OutputFolder } from './output/folder.ts';
import { packedBytes, packedDescription } from './pack.ts';
import { matrixError, type MatrixError, type QuantizedMatrix } from './quantized-matrix.ts';
import type { LayerPlan } from './recipe.ts';
import type { LayerReport } from './report.ts';
import type { Target } from './targets.ts';

/** How far a long call has come. */
export interface Progress {
  readonly stage: 'quantize';
  /** Bytes of the source that are done, of `total`. */
  readonly done: number;
  readonly total: number;
}

export interface RunParts {
  readonly checkpoint: Checkpoint;
  readonly graph: Graph;
  /** Vectors of the graph that the checkpoint does not have: they start as ones. */
  readonly added: ReadonlySet<string>;
  readonly blocks: readonly Block[];
  readonly plans: ReadonlyMap<Target, LayerPlan>;
  readonly folder: OutputFolder;
  /** Bytes of each output tensor in the source, by name. */
  readonly sizes: ReadonlyMap<string, number>;
  readonly onProgress: ((progress: Progress) => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

/** What a method adds to the report on a layer. */
export type LayerDetails = Pick<
  LayerReport,
  'outputError' | 'roundingError' | 'blockError' | 'roundingBlockError' | 'damping' | 'guardedRows'
>;

/** One quantization on its way: where methods read the model and write what they made of it. */
export class QuantizationRun {
  readonly checkpoint: Checkpoint;
  readonly graph: Graph;
  readonly blocks: readonly Block[];
  readonly plans: ReadonlyMap<Target, LayerPlan>;
  readonly signal: AbortSignal | undefined;
  /** The targets to quantize by the name of their weight. */
  readonly targets: ReadonlyMap<string, Target>;
  readonly #parts: RunParts;
  readonly #shapes: ReadonlyMap<string, readonly number[]>;
  readonly #total: number;
  #done: number;

  constructor(parts: RunParts) {
    this.checkpoint = parts.checkpoint;
    this.graph = parts.graph;
    this.blocks = parts.blocks;
    this.plans = parts.plans;
    this.signal = parts.signal;
    this.targets = new Map([...parts.plans.keys()].map((target) => [target.weight, target]));
    this.#parts = parts;
    const weights = parts.graph.nodes.flatMap((node) => (node.op === 'weight' ? [node.attributes] : []));
    this.#shapes = new Map(weights.map(({ name, shape }) => [name, shape]));
    this.#total = [...parts.sizes.values()].reduce((sum, size) => sum + size, 0);
    this.#done = [...parts.folder.records.keys()].reduce((sum, name) => sum + this.#size(name), 0);
  }

  /** Bytes of the source. */
  get total(): number {
    return this.#total;
  }

  /** Whether a tensor is in the output already. */
  isFinished(name: string): boolean {
    return this.#parts.folder.records.has(name);
  }

  /** A weight of the model as it was. */
  weight(name: string): Tensor {
    const shape = this.#shapes.get(name) ?? [];
    return { shape, data: this.#parts.added.has(name) ? ones(shape) : this.checkpoint.read(name) };
  }

  /** A finished tensor of the output as the quantized model will see it. */
  async readBack(name: string): Promise<Tensor> {
    const target = this.targets.get(name);
    const plan = target && this.plans.get(target);
    const shape = this.#shapes.get(name) ?? [];
    if (!target || !plan) {
      const bytes = await this.#parts.folder.read(name);
      return { shape, data: new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4) };
    }
    const description = packedDescription(plan.grid, target.rows, target.columns);
    using storage = Storage.allocate(packedByteLength(description));
    storage.write(0, await this.#parts.folder.read(name));
    using matrix = new Matrix(description, storage);
    return { shape, data: matrix.toFloat32() };
  }

  /** Writes a whole quantized weight. @param weights - what it stands for */
  async writeMatrix(
    target: Target,
    matrix: QuantizedMatrix,
    weights: Float32Array,
    details: LayerDetails = {},
  ): Promise<void> {
    await this.#parts.folder.write(target.weight, packedBytes(matrix));
    await this.finish(target, matrixError(weights, matrix), details);
    await this.advance(this.#size(target.weight));
  }

  /** Writes rows of a quantized weight, `position` bytes from its start. @returns their bytes */
  async writeRows(target: Target, matrix: QuantizedMatrix, position: number): Promise<number> {
    const bytes = packedBytes(matrix);
    await this.#parts.folder.write(target.weight, bytes, position);
    return bytes.length;
  }

  /** Notes that a weight is complete. */
  async finish(target: Target, error: MatrixError, details: LayerDetails = {}): Promise<void> {
    const { weight, rows, columns } = target;
    const plan = this.plans.get(target);
    if (!plan) throw new RangeError(`${weight} is not part of the recipe.`);
    const description = packedDescription(plan.grid, rows, columns);
    const report: LayerReport = {
      weight,
      method: plan.method,
      ...plan.grid,
      format: description.format,
      ...(plan.compute !== 'int8' && { compute: plan.compute }),
      rows,
      columns,
      relativeError: error.squaredNorm === 0 ? 0 : Math.sqrt(error.squaredError / error.squaredNorm),
      ...details,
      bytesBefore: this.#size(weight),
      bytesAfter: packedByteLength(description),
    };
    await this.#parts.folder.complete(weight, report);
  }

  /** Writes a weight that stays dense but was changed, as float32. */
  async writeDense(name: string, values: Float32Array): Promise<void> {
    await this.copy(name, new Uint8Array(values.buffer, values.byteOffset, values.byteLength), 0);
    await this.finishCopy(name);
  }

  /** Copies bytes of a tensor as they are. */
  async copy(name: string, bytes: Uint8Array, position: number): Promise<void> {
    await this.#parts.folder.write(name, bytes, position);
  }

  /** Notes that a copied tensor is complete. */
  async finishCopy(name: string): Promise<void> {
    await this.#parts.folder.complete(name, null);
    await this.advance(this.#size(name));
  }

  /** Counts bytes of the source as done, shows it, and lets an abort in. */
  async advance(bytes: number): Promise<void> {
    this.#done = Math.min(this.#total, this.#done + bytes);
    this.#parts.onProgress?.({ stage: 'quantize', done: this.#done, total: this.#total });
    await setImmediate();
    this.signal?.throwIfAborted();
  }

  /** The same for a share of one tensor. */
  async advanceBy(name: string, share: number): Promise<void> {
    await this.advance(share * this.#size(name));
  }

  #size(name: string): number {
    return this.#parts.sizes.get(name) ?? 0;
  }
}

function ones(shape: readonly number[]): Float32Array {
  return new Float32Array(shape.reduce((size, dimension) => size * dimension, 1)).fill(1);
}
