import { isChannelScale, type Node, type NodeOf, type NormDescription } from '@llm/tensor';

import { inputOf, weightOf } from './inputs.ts';
import type { Uses } from './uses.ts';
import type { Weights } from './weights.ts';

export type NormNode = NodeOf<'rmsNorm'> | NodeOf<'layerNorm'>;

export function isNorm(node: Node): node is NormNode {
  return node.op === 'rmsNorm' || node.op === 'layerNorm';
}

export function describeNorm(norm: NormNode | NodeOf<'mul'>, weights: Weights): NormDescription {
  const weight = weights.vector(weightOf(norm, 1));
  if (norm.op === 'mul') return { kind: 'scale', weight, epsilon: 0 };
  const { epsilon } = norm.attributes;
  if (norm.op === 'rmsNorm') {
    const { weightOffset = 0 } = norm.attributes;
    return { kind: 'rms', weight: weightOffset === 0 ? weight : weight.map((w) => w + weightOffset), epsilon };
  }
  const bias = norm.inputs[2] ? { bias: weights.vector(weightOf(norm, 2)) } : {};
  return { kind: 'layer', weight, ...bias, epsilon };
}

/** A sum or a norm that linears can make of their input themselves, and leave behind for others. */
export interface FoldedSum {
  /** What is left behind. */
  readonly result: Node;
  readonly norm: NormNode | undefined;
  readonly input: Node;
  readonly residual: Node | undefined;
}

/**
 * The input of a group of linears, or of the norm that they fold, where it is the norm of a block's result, added to the
 * residual or not: Gemma's norms around blocks, the norms behind the sums of OPT-350m. Others may read it later; at once
 * they cannot, for which reason no linear outside the group may.
 */
export function foldedSum(
  node: Node,
  group: readonly Node[],
  normed: Node | undefined,
  uses: Uses,
): FoldedSum | undefined {
  const isLater = (reader: Node): boolean => reader === normed || group.includes(reader) || reader.op === 'add';
  if (!uses.readers(node).every(isLater)) return undefined;
  if (normed && !uses.readers(normed).every((reader) => group.includes(reader))) return undefined;
  if (isWholeNorm(node)) return { result: node, norm: node, input: inputOf(node), residual: undefined };
  if (node.op !== 'add') return undefined;
  const [a, b] = [inputOf(node, 0), inputOf(node, 1)];
  const norm = [a, b].find((input): input is NormNode => isWholeNorm(input) && uses.onlyReader(input) === node);
  const residual = norm === a ? b : a;
  if (!norm || residual === norm || residual.op === 'positionEmbed') return undefined;
  return { result: node, norm, input: inputOf(norm), residual };
}

function isWholeNorm(node: Node): node is NormNode {
  return isNorm(node) && node.attributes.perHead === undefined;
}

/**
 * The norm, or the scale of each channel, that linears can apply to their input themselves: one over whole rows that nothing but
 * linears read. Every group of linears repeats it, which costs less than a pass of its own through memory.
 */
export function foldedNorm(node: Node, uses: Uses): { norm: NormNode | NodeOf<'mul'>; input: Node } | undefined {
  if (!isWholeNorm(node) && !isChannelScale(node)) return undefined;
  if (!uses.readers(node).every((reader) => reader.op === 'linear' && inputOf(reader) === node)) return undefined;
  return { norm: node, input: inputOf(node) };
}
