import type { Checkpoint } from '@llm/models';
import { roundMatrix, type Graph, type Matrix, type Node, type RoundedFormat } from '@llm/tensor';

import type { RowRange, WeightFormat, Weights } from './compile/weights.ts';
import { loadDefaults, type LoadOptions } from './options.ts';

interface Target {
  readonly format: RoundedFormat;
  readonly groupSize: number;
}

/** Groups of embeddings and heads, which stay at 8 bits: small enough for the few weights far out. */
const int8GroupSize = 32;

/**
 * The weights of one loaded model: those of the checkpoint where they lie, and those that were quantized while loading, which
 * it owns.
 */
export class ModelWeights implements Weights, Disposable {
  readonly #checkpoint: Checkpoint;
  readonly #graph: Graph;
  readonly #targets: ReadonlyMap<string, Target>;
  readonly #parts: Matrix[] = [];
  readonly #quantized = new Map<string, Matrix>();

  constructor(checkpoint: Checkpoint, graph: Graph, options: LoadOptions) {
    this.#checkpoint = checkpoint;
    this.#graph = graph;
    this.#targets = options.weights === 'int4' ? targetsOf(checkpoint, graph, options) : new Map<string, Target>();
  }

  format(name: string): WeightFormat {
    const { format, rows, columns, groupSize } = this.#checkpoint.describe(name);
    const target = this.#targets.get(name);
    const compute = target ? undefined : this.#checkpoint.compute(name);
    if (!target) return { format, rows, columns, groupSize, ...(compute && { compute }) };
    return { rows, columns, format: target.format, groupSize: groupOf(target, columns) };
  }

  matrix(name: string, rows?: RowRange): Matrix {
    const whole = this.#quantized.get(name) ?? this.#checkpoint.matrix(name);
    if (!rows) return whole;
    const part = whole.rowRange(rows.begin, rows.end);
    this.#parts.push(part);
    return part;
  }

  vector(name: string): Float32Array {
    return this.#checkpoint.vector(name);
  }

  /** Of all matrices that the graph reads. */
  matrixFormats(): WeightFormat[] {
    return matrixNames(this.#graph).map((name) => this.format(name));
  }

  /** Lays out anew what is stored in another format, and quantizes what is to be quantized. */
  async prepare({ signal, onProgress }: Pick<LoadOptions, 'signal' | 'onProgress'>): Promise<void> {
    const asStored = matrixNames(this.#graph).filter((name) => !this.#targets.has(name));
    await this.#checkpoint.prepare(asStored, { ...(signal && { signal }), ...(onProgress && { onProgress }) });
    const total = this.#targets.size;
    for (const [name, { format, groupSize }] of this.#targets) {
      signal?.throwIfAborted();
      onProgress?.({ stage: 'quantize', done: this.#quantized.size, total });
      const stored = this.#checkpoint.matrix(name);
      const group = groupOf({ format, groupSize }, stored.columns);
      this.#quantized.set(name, await roundMatrix(stored, { format, groupSize: group, ...(signal && { signal }) }));
    }
    if (total > 0) onProgress?.({ stage: 'quantize', done: total, total });
  }

  [Symbol.dispose](): void {
    for (const matrix of [...this.#parts, ...this.#quantized.values()]) matrix[Symbol.dispose]();
    this.#quantized.clear();
  }
}

function groupOf({ groupSize }: Target, columns: number): number {
  return groupSize === -1 ? columns : Math.min(groupSize, columns);
}

/** What becomes of each dense matrix: linears inside blocks go to 4 bits, embeddings and heads to 8. */
function targetsOf(checkpoint: Checkpoint, graph: Graph, options: LoadOptions): Map<string, Target> {
  const { groupSize = loadDefaults.groupSize, scheme = loadDefaults.scheme } = options;
  const int8 = new Set(matrixNames(graph, (reader) => reader.op === 'embed' || reader.block === undefined));
  const targets = new Map<string, Target>();
  for (const name of matrixNames(graph, (reader) => reader.op !== 'positionEmbed')) {
    if (checkpoint.describe(name).groupSize !== undefined) continue;
    targets.set(
      name,
      int8.has(name) ? { format: 'int8', groupSize: int8GroupSize } : { format: `int4-${scheme}`, groupSize },
    );
  }
  return targets;
}

/** The names of the matrices that some node reads in such a way; of all by default. */
function matrixNames(graph: Graph, isRead: (reader: Node) => boolean = () => true): string[] {
  const matrices = new Set(['linear', 'embed', 'positionEmbed']);
  return graph.nodes.flatMap((weight) =>
    weight.op === 'weight' &&
    graph.consumers(weight).some((reader) => matrices.has(reader.op) && isMatrix(reader, weight) && isRead(reader))
      ? [weight.attributes.name]
      : [],
  );
}

/** Biases are inputs of linears too. */
function isMatrix(reader: Node, weight: Node): boolean {
  return reader.inputs[1] === weight;
}
