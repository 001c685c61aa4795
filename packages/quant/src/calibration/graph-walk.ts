import { NativeOperators, type Graph, type Node, type Tensor, type Weights } from '@llm/tensor';
import type { TensorStore } from './tensor-store.ts';

/** Called with a value of each batch of sequences, whose memory is used again later. */
export type Listen = (value: Tensor, batch: number) => Promise<void> | void;

export interface GraphWalkOptions {
  /** Tokens that are computed together, at least one sequence. Default 2048. */
  readonly batchTokens?: number;
  readonly signal?: AbortSignal;
}

/**
 * A forward pass over calibration sequences that can stop before any node: weights may change while it stands, so that everything
 * behind sees what was quantized before. Between two stops it keeps only the values that somebody still reads, and it computes
 * every node once.
 */
export class GraphWalk {
  /** Tokens of all sequences together. */
  readonly tokens: number;
  readonly #graph: Graph;
  readonly #store: TensorStore;
  readonly #batches: readonly (readonly Int32Array[])[];
  readonly #operators: NativeOperators;
  /** The place of the last node that reads a node. */
  readonly #lastReader = new Map<Node, number>();
  #position = 0;
  #live: readonly Node[] = [];

  /** @param store - holds the values between two stops; its owner disposes of it */
  constructor(graph: Graph, sequences: readonly Int32Array[], store: TensorStore, options: GraphWalkOptions = {}) {
    const { batchTokens = 2048, signal } = options;
    this.#graph = graph;
    this.#store = store;
    this.#batches = intoBatches(sequences, batchTokens);
    this.tokens = sequences.reduce((sum, { length }) => sum + length, 0);
    this.#operators = new NativeOperators(signal);
    for (const node of graph.nodes) for (const input of node.inputs) this.#lastReader.set(input, node.id);
  }

  get batches(): number {
    return this.#batches.length;
  }

  /** Lengths of the sequences of a batch. */
  sequenceLengths(batch: number): readonly number[] {
    return (this.#batches[batch] ?? []).map(({ length }) => length);
  }

  /**
   * Computes everything before `node` (or to the end), and lets `listen` see the value of `observed`, batch by batch.
   * @param weights - asked once for each weight on the way
   */
  async advance(node: Node | undefined, weights: Weights, observed?: Node, listen?: Listen): Promise<void> {
    const end = node?.id ?? this.#graph.nodes.length;
    const segment = this.#graph.nodes.slice(this.#position, end).filter(({ op }) => op !== 'weight');
    const read = new Map<Node, Tensor>();
    for (const { inputs } of segment)
      for (const input of inputs)
        if (input.op === 'weight' && !read.has(input)) read.set(input, weights(input.attributes.name));
    const live = this.#liveAt(end, segment);
    for (const batch of this.#batches.keys()) {
      const values = await this.#compute(segment, batch, read);
      const value = observed && values.get(observed);
      if (value) await listen?.(value, batch);
      const kept = live.map((node) => values.get(node) as Tensor);
      if (!(await this.#store.put(batch, kept))) for (const { data } of kept) this.#operators.arrays.release(data);
    }
    // Whoever works between two stops has the memory.
    this.#operators.arrays.clear();
    this.#position = end;
    this.#live = live;
  }

  /** Values that somebody still reads, where the walk stands. Their memory is used again once it goes on. */
  async read(batch: number, nodes: readonly Node[]): Promise<Tensor[]> {
    const stored = await this.#store.get(batch);
    return nodes.map((node) => {
      const value = stored[this.#live.indexOf(node)];
      if (!value) throw new RangeError(`Node ${node.id} (${node.op}) is not kept here.`);
      return value;
    });
  }

  async #compute(
    segment: readonly Node[],
    batch: number,
    weights: ReadonlyMap<Node, Tensor>,
  ): Promise<Map<Node, Tensor>> {
    const sequences = this.#batches[batch] ?? [];
    const step = { sequences: sequences.map(({ length }) => length) };
    const values = new Map(weights);
    const stored = await this.#store.get(batch, (length) => this.#operators.arrays.allocate(length));
    for (const [i, node] of this.#live.entries()) values.set(node, stored[i] as Tensor);
    for (const node of segment) {
      if (node.op === 'tokens') {
        const ids = Float32Array.from(sequences.flatMap((ids) => [...ids]));
        values.set(node, { shape: [ids.length], data: ids });
        continue;
      }
      const inputs = node.inputs.map((input) => values.get(input) as Tensor);
      values.set(node, await this.#operators.evaluate(node, inputs, step));
      for (const [i, input] of node.inputs.entries()) {
        if (input.op === 'weight' || this.#lastReader.get(input) !== node.id) continue;
        values.delete(input);
        this.#operators.arrays.release((inputs[i] as Tensor).data);
      }
    }
    return values;
  }

  /** What is computed before `end` and read at or behind it. */
  #liveAt(end: number, segment: readonly Node[]): Node[] {
    return [...this.#live, ...segment].filter((node) => (this.#lastReader.get(node) ?? -1) >= end);
  }
}

function intoBatches(sequences: readonly Int32Array[], tokens: number): Int32Array[][] {
  const batches: Int32Array[][] = [];
  let size = Infinity;
  for (const sequence of sequences) {
    if (size + sequence.length > tokens) {
      batches.push([]);
      size = 0;
    }
    batches.at(-1)?.push(sequence);
    size += sequence.length;
  }
  return batches;
}
