/** Parts that many architectures share. An architecture that differs writes its own. */
import type { Node, RopeAttributes } from '@llm/tensor';

import type { Activation, Builder, Path } from './builder.ts';

export interface AttentionPart {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly hiddenSize: number;
  readonly layer: number;
  /** Undefined where the layer knows no positions. */
  readonly rope?: RopeAttributes | undefined;
  /** Biases of q, k and v. */
  readonly bias?: boolean;
  readonly outputBias?: boolean;
  readonly output?: string;
  /** Applied to q and to k before the rotation. */
  readonly headNorm?: (x: Node, name: string) => Node;
  /** Default headDim ** -0.5. */
  readonly scale?: number;
  readonly window?: number | undefined;
  readonly softcap?: number | undefined;
}

/** Attention with q_proj, k_proj, v_proj and an output projection, up to and with the latter. */
export function separateAttention(g: Builder, x: Node, w: Path, part: AttentionPart): Node {
  const { heads, kvHeads, headDim, bias = false, rope } = part;
  const headNorm = part.headNorm ?? ((y: Node): Node => y);
  const rotate = (y: Node): Node => (rope ? g.rope(y, rope) : y);
  const q = headNorm(g.linear(x, w('self_attn.q_proj'), heads * headDim, { bias }), w('self_attn.q_norm'));
  const k = headNorm(g.linear(x, w('self_attn.k_proj'), kvHeads * headDim, { bias }), w('self_attn.k_norm'));
  const v = g.linear(x, w('self_attn.v_proj'), kvHeads * headDim, { bias });
  const attended = attend(g, rotate(q), rotate(k), v, part);
  return g.linear(attended, w(`self_attn.${part.output ?? 'o_proj'}`), part.hiddenSize, {
    bias: part.outputBias ?? false,
  });
}

export function attend(g: Builder, q: Node, k: Node, v: Node, part: AttentionPart): Node {
  const { heads, kvHeads, headDim, layer, scale = headDim ** -0.5, window, softcap } = part;
  return g.attention(q, k, v, {
    heads,
    kvHeads,
    headDim,
    layer,
    scale,
    ...(window !== undefined && { window }),
    ...(softcap !== undefined && { softcap }),
  });
}

export interface GatedPart {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly activation: Activation;
  readonly bias?: boolean;
}

/** down(activation(gate(x)) * up(x)) (Shazeer 2020). */
export function gatedMlp(
  g: Builder,
  x: Node,
  w: Path,
  { hiddenSize, intermediateSize, activation, bias = false }: GatedPart,
): Node {
  const gate = g.linear(x, w('mlp.gate_proj'), intermediateSize, { bias });
  const up = g.linear(x, w('mlp.up_proj'), intermediateSize, { bias });
  return g.linear(g.mul(g.activation(activation, gate), up), w('mlp.down_proj'), hiddenSize, { bias });
}

/** Numbers from `begin`, `count` of them. */
export function range(begin: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => begin + i);
}
