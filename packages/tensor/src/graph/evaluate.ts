import { ShapeMismatchError } from '../errors.ts';
import type { Computation, Step } from '../operators/operator.ts';
import { compute } from '../operators/product.ts';
import { operators } from '../operators/table.ts';
import { tensor, type Tensor } from '../tensor.ts';
import type { OperatorName } from './attributes.ts';
import type { Graph } from './graph.ts';
import type { Node, NodeOf } from './node.ts';

/** Where a reader gets a weight, by its name. */
export type Weights = (name: string) => Tensor;

export type Values = ReadonlyMap<Node, Tensor>;

/** Called with each node and the values of its inputs, before the node is computed. */
export type Watch = (node: Node, inputs: readonly Tensor[]) => void;

export interface EvaluateOptions extends Partial<Step> {
  readonly watch?: Watch;
}

/**
 * Every node's value by the plain operators: the reference that the native programs are tested against.
 *
 * @param tokens token ids of one sequence, or of several one after another (`options.sequences`)
 * @param weights decides the precision: float32 or float64 storage; sums are in double precision anyway
 */
export function evaluate(
  graph: Graph,
  tokens: ArrayLike<number>,
  weights: Weights,
  options: EvaluateOptions = {},
): Values {
  const { sequences = [tokens.length], outputs, watch } = options;
  const step: Step = { sequences, ...(outputs && { outputs }) };
  const values = new Map<Node, Tensor>();
  for (const node of graph.nodes) {
    if (node.op === 'tokens') {
      values.set(node, tensor([tokens.length], Float64Array.from(tokens)));
    } else if (node.op === 'weight') {
      values.set(node, weightOf(node, weights));
    } else {
      const inputs = inputsOf(node, values);
      watch?.(node, inputs);
      values.set(node, compute(evaluateNode(node, inputs, step)));
    }
  }
  return values;
}

/** The weight's value. @throws {@link ShapeMismatchError} if it is not of the shape that the graph expects */
export function weightOf(node: NodeOf<'weight'>, weights: Weights): Tensor {
  const { name, shape } = node.attributes;
  const value = weights(name);
  if (value.shape.length !== shape.length || value.shape.some((dimension, i) => dimension !== shape[i])) {
    throw new ShapeMismatchError(`${name} is [${value.shape.join(', ')}]; the model needs [${shape.join(', ')}].`);
  }
  return value;
}

export function inputsOf(node: Node, values: Values): Tensor[] {
  return node.inputs.map((input) => valueOf(input, values));
}

/** @throws {@link RangeError} if the node was not computed */
export function valueOf(node: Node, values: Values): Tensor {
  const value = values.get(node);
  if (!value) throw new RangeError(`Node ${node.id} (${node.op}) has no value here.`);
  return value;
}

export function evaluateNode<Op extends OperatorName>(
  node: NodeOf<Op>,
  inputs: readonly Tensor[],
  step: Step,
): Tensor | Computation<Tensor> {
  const work = operators[node.op].evaluate?.(inputs, node.attributes, step);
  if (!work) throw new RangeError(`${node.op} has to be given its value.`);
  return work;
}
