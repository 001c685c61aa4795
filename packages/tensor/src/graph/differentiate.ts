import type { Computation, GradientRequest, Gradients, Step } from '../operators/operator.ts';
import { compute, computeWith } from '../operators/product.ts';
import { sum } from '../operators/elementwise.ts';
import { operators } from '../operators/table.ts';
import type { FloatArray, Tensor } from '../tensor.ts';
import type { OperatorName } from './attributes.ts';
import { productWith, type BlockResult, type HeavyOptions } from './block.ts';
import { inputsOf, type Values } from './evaluate.ts';
import type { Graph } from './graph.ts';
import type { Node } from './node.ts';

/** Nodes whose gradients are asked for; the way to them is found. */
export type Wanted = (node: Node) => boolean;

/**
 * Gradients of a sum over `output` weighted by `seed`, by the plain operators.
 *
 * @param values from `evaluate`, with the same step
 * @param wanted default: every weight
 */
export function differentiate(
  graph: Graph,
  values: Values,
  output: Node,
  seed: Tensor,
  step: Step,
  wanted: Wanted = (node) => node.op === 'weight',
): ReadonlyMap<Node, Tensor> {
  const walk = backwards(graph.nodes, values, new Map([[output, seed]]), step, wanted);
  let next = walk.next();
  while (!next.done) {
    const { value: work } = next;
    next = walk.next('terms' in work ? [sum(...work.terms)] : compute(gradientOf(work.node, work.request)));
  }
  return next.value;
}

/**
 * Gradients through one decoder block. With `options.native` their memory is its pool's.
 *
 * @param result of `evaluateBlock` with `keep: true`
 * @param outputGradients gradients of the block's outputs, in the order of {@link Graph.blockOutputs}
 * @param options.wanted default: the weights of the block's linears. Frozen weights cost nothing; naming none of the block's inputs
 *   saves the products that only they need
 */
export async function differentiateBlock(
  graph: Graph,
  block: number,
  result: BlockResult,
  outputGradients: readonly Tensor[],
  options: HeavyOptions & { readonly wanted?: Wanted } = {},
): Promise<ReadonlyMap<Node, Tensor>> {
  const nodes = graph.blockNodes(block);
  const linearWeights = new Set(nodes.flatMap((node) => (node.op === 'linear' ? node.inputs.slice(1) : [])));
  const seeds = new Map<Node, Tensor>();
  graph.blockOutputs(block).forEach((node, i) => {
    const gradient = outputGradients[i];
    if (gradient) seeds.set(node, gradient);
  });
  const product = productWith(options);
  const walk = backwards(
    nodes,
    result.values,
    seeds,
    result.step,
    options.wanted ?? ((node) => linearWeights.has(node)),
  );
  let next = walk.next();
  const { native } = options;
  const made = new Set<FloatArray>();
  while (!next.done) {
    const { value: work } = next;
    let found: Gradients;
    if ('terms' in work) found = [native ? await native.sum(...work.terms) : sum(...work.terms)];
    else if (native) found = await native.gradient(work.node.op, work.request);
    else found = await computeWith(gradientOf(work.node, work.request), product);
    for (const gradient of found) if (gradient) made.add(gradient.data);
    next = walk.next(found);
  }
  for (const { data } of [...next.value.values(), ...outputGradients]) made.delete(data);
  for (const data of made) native?.arrays.release(data);
  return next.value;
}

/** What a step backwards needs done: the gradients of a node's inputs, or the sum of two gradients of one value. */
type Backwards =
  | { readonly node: Node; readonly request: GradientRequest<OperatorName> }
  | { readonly terms: readonly [Tensor, Tensor] };

/** Reverse mode over `nodes`; yields the work of each node and is given its result. */
function* backwards(
  nodes: readonly Node[],
  values: Values,
  seeds: ReadonlyMap<Node, Tensor>,
  step: Step,
  wanted: Wanted,
): Generator<Backwards, ReadonlyMap<Node, Tensor>, Gradients> {
  const needed = neededBy(nodes, wanted);
  const gradients = new Map(seeds);
  for (const node of nodes.toReversed()) {
    const dy = gradients.get(node);
    const ask = node.inputs.map((input) => needed.has(input));
    if (!dy || !ask.includes(true)) continue;
    const found = yield {
      node,
      request: { dy, inputs: inputsOf(node, values), attributes: node.attributes, step, wanted: ask },
    };
    for (const [i, dx] of found.entries()) {
      const input = node.inputs[i];
      if (!dx || !input || !needed.has(input)) continue;
      const before = gradients.get(input);
      gradients.set(input, before ? ((yield { terms: [before, dx] })[0] as Tensor) : dx);
    }
    if (!wanted(node)) gradients.delete(node);
  }
  return gradients;
}

/** The nodes that are wanted or lie between a wanted node and the output. */
function neededBy(nodes: readonly Node[], wanted: Wanted): Set<Node> {
  const needed = new Set<Node>();
  for (const node of nodes) {
    for (const input of node.inputs) if (wanted(input)) needed.add(input);
    if (wanted(node) || node.inputs.some((input) => needed.has(input))) needed.add(node);
  }
  return needed;
}

function gradientOf(node: Node, request: GradientRequest<OperatorName>): Gradients | Computation<Gradients> {
  return operators[node.op].gradient?.(request as never) ?? [];
}
