import type { Activation } from '../program-description.ts';
import type { Node, NodeOf } from './node.ts';

const activations: ReadonlySet<string> = new Set<Activation>(['silu', 'gelu', 'geluTanh', 'relu']);

/** A function of single values, as stands between the linears of an MLP. */
export function isActivation(node: Node): node is NodeOf<Activation> & Node {
  return activations.has(node.op);
}

/** A product with a vector of weights: one factor for each channel, the same for all rows. */
export function isChannelScale(node: Node): node is NodeOf<'mul'> {
  return node.op === 'mul' && node.inputs[1]?.op === 'weight';
}
