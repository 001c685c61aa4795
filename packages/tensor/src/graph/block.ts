import { ShapeMismatchError } from '../errors.ts';
import type { Product, Step } from '../operators/operator.ts';
import type { NativeOperators } from '../operators/native.ts';
import { computeWith, plainProduct } from '../operators/product.ts';
import { rowCount, type FloatArray, type Tensor } from '../tensor.ts';
import { evaluateNode, inputsOf, valueOf, weightOf, type Values, type Watch, type Weights } from './evaluate.ts';
import type { Graph } from './graph.ts';
import type { Node } from './node.ts';

/** A native matrix product, such as `sgemm`: returns C [m, n] = A B of float32 arrays. */
export type Sgemm = (product: {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}) => Promise<Float32Array>;

export interface HeavyOptions {
  /** Does the matrix products; default the plain ones in JavaScript, which suit tests only. */
  readonly sgemm?: Sgemm;
  /** Does the products and all other operators, instead of `sgemm`. Values that nobody reads any more go back to its pool. */
  readonly native?: NativeOperators;
  /** Rejects with the signal's reason between two operators. */
  readonly signal?: AbortSignal;
}

export interface BlockOptions extends HeavyOptions {
  /** Lengths of the sequences whose tokens lie one after another; default one sequence. */
  readonly sequences?: readonly number[];
  /** Sees each node's inputs before it is computed: how calibration listens to the linears. */
  readonly watch?: Watch;
  /** Keeps every value, as gradients need; default false: each is dropped after its last reader, and only outputs are returned. */
  readonly keep?: boolean;
}

export interface BlockResult {
  /** Values of the block's outputs, in the order of {@link Graph.blockOutputs}. */
  readonly outputs: readonly Tensor[];
  /** With `keep`: every value, those of inputs and weights included. */
  readonly values: Values;
  readonly step: Step;
}

/** How a computation's products are done. */
export function productWith({ sgemm, signal }: HeavyOptions): (product: Product) => Promise<FloatArray> {
  return async (product) => {
    signal?.throwIfAborted();
    if (!sgemm) return plainProduct(product);
    const single = (x: FloatArray): Float32Array => (x instanceof Float32Array ? x : Float32Array.from(x));
    return sgemm({ ...product, a: single(product.a), b: single(product.b) });
  };
}

/**
 * One decoder block on its own, for calibration and for methods that tune a block.
 *
 * @param inputs values of {@link Graph.blockInputs}, in that order: [rows, columns]
 * @param weights asked for the block's weights only, each once
 */
export async function evaluateBlock(
  graph: Graph,
  block: number,
  inputs: readonly Tensor[],
  weights: Weights,
  options: BlockOptions = {},
): Promise<BlockResult> {
  const { watch, keep = false, native } = options;
  const product = productWith(options);
  const values = blockInputs(graph, block, inputs);
  const [first] = inputs;
  const step: Step = { sequences: options.sequences ?? [first ? rowCount(first) : 0] };
  checkRows(inputs, step);
  const outputs = graph.blockOutputs(block);
  const lastReader = new Map<Node, Node>();
  for (const node of graph.blockNodes(block)) for (const input of node.inputs) lastReader.set(input, node);

  for (const node of graph.blockNodes(block)) {
    options.signal?.throwIfAborted();
    for (const input of node.inputs) {
      if (input.op === 'weight' && !values.has(input)) values.set(input, weightOf(input, weights));
    }
    const read = inputsOf(node, values);
    watch?.(node, read);
    const value = native
      ? await native.evaluate(node, read, step)
      : await computeWith(evaluateNode(node, read, step), product);
    values.set(node, value);
    if (keep) continue;
    for (const [i, input] of node.inputs.entries()) {
      if (lastReader.get(input) !== node || outputs.includes(input)) continue;
      values.delete(input);
      if (input.op !== 'weight') native?.arrays.release((read[i] as Tensor).data);
    }
  }
  return { outputs: outputs.map((node) => valueOf(node, values)), values, step };
}

function blockInputs(graph: Graph, block: number, inputs: readonly Tensor[]): Map<Node, Tensor> {
  const nodes = graph.blockInputs(block);
  if (nodes.length !== inputs.length) {
    throw new ShapeMismatchError(`Block ${block} reads ${nodes.length} values from outside, not ${inputs.length}.`);
  }
  return new Map(nodes.map((node, i) => [node, inputs[i] as Tensor]));
}

function checkRows(inputs: readonly Tensor[], { sequences }: Step): void {
  const rows = sequences.reduce((sum, length) => sum + length, 0);
  const odd = inputs.find((input) => rowCount(input) !== rows);
  if (odd)
    throw new ShapeMismatchError(
      `The sequences have ${rows} tokens together, the block's input ${rowCount(odd)} rows.`,
    );
}
