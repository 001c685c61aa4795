import type { Node, NodeOf, NormDescription } from '@llm/tensor';

import { inputOf, weightOf } from './inputs.ts';
import type { Uses } from './uses.ts';
import type { Weights } from './weights.ts';

export type NormNode = NodeOf<'rmsNorm'> | NodeOf<'layerNorm'>;

export function isNorm(node: Node): node is NormNode {
  return node.op === 'rmsNorm' || node.op === 'layerNorm';
}

export function describeNorm(norm: NormNode, weights: Weights): NormDescription {
  const { epsilon } = norm.attributes;
  const weight = weights.vector(weightOf(norm, 1));
  if (norm.op === 'rmsNorm') {
    const { weightOffset = 0 } = norm.attributes;
    return { kind: 'rms', weight: weightOffset === 0 ? weight : weight.map((w) => w + weightOffset), epsilon };
  }
  const bias = norm.inputs[2] ? { bias: weights.vector(weightOf(norm, 2)) } : {};
  return { kind: 'layer', weight, ...bias, epsilon };
}

/**
 * The norm that linears can apply to their input themselves: one over whole rows that nothing but linears read. Every group
 * of linears repeats it, which costs less than a pass of its own through memory.
 */
export function foldedNorm(node: Node, uses: Uses): { norm: NormNode; input: Node } | undefined {
  if (!isNorm(node) || node.attributes.perHead !== undefined) return undefined;
  if (!uses.readers(node).every((reader) => reader.op === 'linear' && inputOf(reader) === node)) return undefined;
  return { norm: node, input: inputOf(node) };
}
