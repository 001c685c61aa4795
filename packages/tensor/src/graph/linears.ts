import type { Tensor } from '../tensor.ts';
import { evaluateBlock, type BlockOptions, type BlockResult } from './block.ts';
import type { Weights } from './evaluate.ts';
import type { Graph } from './graph.ts';
import type { Node, NodeOf } from './node.ts';

/** Linears that read the same input: the unit of work of GPTQ and AWQ. */
export interface LinearGroup {
  readonly input: Node;
  readonly linears: readonly NodeOf<'linear'>[];
  readonly block: number | undefined;
}

/** All linears, in an order in which none depends on a later one: q, k, v; then o; then gate, up; then down. */
export function linearsByInput(graph: Graph): readonly LinearGroup[] {
  const groups = new Map<Node, NodeOf<'linear'>[]>();
  for (const node of graph.nodes) {
    const [input] = node.inputs;
    if (node.op !== 'linear' || !input) continue;
    const known = groups.get(input);
    if (known) known.push(node);
    else groups.set(input, [node]);
  }
  return [...groups].map(([input, linears]) => ({ input, linears, block: linears[0]?.block }));
}

/** The weight's name of a linear. */
export function linearWeight(linear: NodeOf<'linear'>): NodeOf<'weight'> {
  const weight = linear.inputs[1];
  if (weight?.op !== 'weight') throw new TypeError(`The linear ${linear.attributes.name} has no weight.`);
  return weight;
}

/**
 * One block, with `listen` called once for every distinct input of its linears: [rows, columns], valid during the call.
 *
 * @returns as {@link evaluateBlock}
 */
export function traceLinears(
  graph: Graph,
  block: number,
  inputs: readonly Tensor[],
  weights: Weights,
  listen: (group: LinearGroup, input: Tensor) => void,
  options: BlockOptions = {},
): Promise<BlockResult> {
  const byFirst = new Map(linearsByInput(graph).map((group) => [group.linears[0] as Node, group]));
  const watch: BlockOptions['watch'] = (node, values) => {
    options.watch?.(node, values);
    const group = byFirst.get(node);
    const [x] = values;
    if (group && x) listen(group, x);
  };
  return evaluateBlock(graph, block, inputs, weights, { ...options, watch });
}
