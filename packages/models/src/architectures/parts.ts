/** Parts that many architectures share. An architecture that differs writes its own. */
import type { Activation, Node, NormAttributes, OperatorAttributes, RopeAttributes } from '@llm/tensor';

import type { ForwardPass } from '../architecture.ts';
import type { Builder, Path } from './builder.ts';
import type { Heads } from './schema.ts';

/** How the heads of one layer attend. */
export interface AttentionPart extends Heads {
  readonly layer: number;
  /** Default headDim ** -0.5. */
  readonly scale?: number | undefined;
  readonly window?: number | undefined;
  readonly softcap?: number | undefined;
  readonly alibi?: readonly number[] | undefined;
}

export function attend(g: Builder, q: Node, k: Node, v: Node, part: AttentionPart): Node {
  const { heads, kvHeads, headDim, layer, scale = headDim ** -0.5, window, softcap, alibi } = part;
  return g.attention(q, k, v, {
    heads,
    kvHeads,
    headDim,
    layer,
    scale,
    ...(window !== undefined && { window }),
    ...(softcap !== undefined && { softcap }),
    ...(alibi && { alibi }),
  });
}

/** Attention whose q, k and v are linears of their own. */
export interface SeparatePart extends AttentionPart {
  readonly hiddenSize: number;
  /** Undefined where the layer knows no positions. */
  readonly rope?: RopeAttributes | undefined;
  /** Biases of q, k and v. */
  readonly bias?: boolean;
  readonly outputBias?: boolean;
  /** Applied to q and to k before the rotation. */
  readonly headNorm?: ((x: Node, name: string) => Node) | undefined;
  /** Where the weights are, and what the output projection is called. */
  readonly path?: string;
  readonly output?: string;
}

/** q_proj, k_proj, v_proj, attention, and the output projection. */
export function separateAttention(g: Builder, x: Node, w: Path, part: SeparatePart): Node {
  const {
    heads,
    kvHeads,
    headDim,
    bias = false,
    outputBias = false,
    rope,
    path = 'self_attn',
    output = 'o_proj',
  } = part;
  const place = (name: 'q' | 'k', count: number): Node => {
    const y = g.linear(x, w(`${path}.${name}_proj`), count * headDim, { bias });
    const normalised = part.headNorm ? part.headNorm(y, w(`${path}.${name}_norm`)) : y;
    return rope ? g.rope(normalised, rope) : normalised;
  };
  const q = place('q', heads);
  const k = place('k', kvHeads);
  const v = g.linear(x, w(`${path}.v_proj`), kvHeads * headDim, { bias });
  return g.linear(attend(g, q, k, v, part), w(`${path}.${output}`), part.hiddenSize, { bias: outputBias });
}

/** Which channels of a fused projection are q, k and v. */
export interface FusedChannels {
  readonly q: Int32Array;
  readonly k: Int32Array;
  readonly v: Int32Array;
}

/** All of q, then all of k, then all of v. */
export function partMajor({ heads, kvHeads, headDim }: Heads): FusedChannels {
  const [queries, keys] = [heads * headDim, kvHeads * headDim];
  return { q: range(0, queries), k: range(queries, keys), v: range(queries + keys, keys) };
}

/** For each key/value head its queries, then its key, then its value. With one query each: q, k, v head by head. */
export function groupMajor({ heads, kvHeads, headDim }: Heads): FusedChannels {
  const group = heads / kvHeads;
  const member = (index: number): number => Math.floor(index / group) * (group + 2) + (index % group);
  const headsAt = (count: number, place: (head: number) => number): Int32Array =>
    Int32Array.from({ length: count * headDim }, (_, i) => place(Math.floor(i / headDim)) * headDim + (i % headDim));
  return {
    q: headsAt(heads, member),
    k: headsAt(kvHeads, (head) => head * (group + 2) + group),
    v: headsAt(kvHeads, (head) => head * (group + 2) + group + 1),
  };
}

/** Where the rows of a group-major matrix are in one that is part-major, as GGUF files have them. */
export function groupToPartMajor(heads: Heads): Int32Array {
  const { q, k, v } = groupMajor(heads);
  const order = new Int32Array(q.length + k.length + v.length);
  [...q, ...k, ...v].forEach((row, place) => {
    order[row] = place;
  });
  return order;
}

/** Attention out of one fused projection, up to but without the output projection. */
export function fusedAttention(
  g: Builder,
  qkv: Node,
  channels: FusedChannels,
  part: AttentionPart & { readonly rope?: RopeAttributes | undefined },
): Node {
  const rotate = (x: Node): Node => (part.rope ? g.rope(x, part.rope) : x);
  const q = rotate(g.take(qkv, channels.q));
  const k = rotate(g.take(qkv, channels.k));
  return attend(g, q, k, g.take(qkv, channels.v), part);
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

export interface PlainPart extends GatedPart {
  /** Names of the two linears. */
  readonly up: string;
  readonly down: string;
}

/** down(activation(up(x))). */
export function plainMlp(g: Builder, x: Node, w: Path, part: PlainPart): Node {
  const { hiddenSize, intermediateSize, activation, bias = true } = part;
  const up = g.linear(x, w(part.up), intermediateSize, { bias });
  return g.linear(g.activation(activation, up), w(part.down), hiddenSize, { bias });
}

export interface HeadPart {
  readonly name: string;
  readonly vocabularySize: number;
  /** The name of the embedding where the head is tied to it. */
  readonly tied?: string | undefined;
  readonly bias?: boolean;
}

/** The head on the rows that are wanted, once they are normalised. */
export function head(
  g: Builder,
  last: Node,
  norm: (x: Node) => Node,
  part: HeadPart,
): Pick<ForwardPass, 'logits' | 'hidden'> {
  const { name, vocabularySize, tied, bias = false } = part;
  const hidden = norm(g.lastTokens(last));
  const logits = g.linear(hidden, name, vocabularySize, {
    bias,
    ...(tied !== undefined && { weight: `${tied}.weight` }),
  });
  return { logits, hidden };
}

export type RmsNorm = OperatorAttributes['rmsNorm'];
export type LayerNorm = NormAttributes & { readonly bias?: boolean };

/** The keys that Llama and those of its shape have in common. */
export interface LlamaKeys {
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly hidden_act: Activation;
  readonly rms_norm_eps: number;
  readonly max_position_embeddings: number;
  readonly tie_word_embeddings: boolean;
}

/** The forward pass of Llama; `layerPart` says how a layer attends. */
export function llamaForward(
  g: Builder,
  c: LlamaKeys,
  layerPart: (layer: number) => Omit<SeparatePart, 'layer' | 'hiddenSize'>,
  mlpBias = false,
): Omit<ForwardPass, 'graph'> {
  const norm: RmsNorm = { epsilon: c.rms_norm_eps };
  const hiddenSize = c.hidden_size;
  const mlp = { hiddenSize, intermediateSize: c.intermediate_size, activation: c.hidden_act, bias: mlpBias };
  const tokens = g.embed(g.tokens(), 'model.embed_tokens', c.vocab_size, hiddenSize);
  const last = g.blocks('model.layers', c.num_hidden_layers, tokens, (x, w, layer) => {
    const part = { ...layerPart(layer), layer, hiddenSize };
    const a = g.add(x, separateAttention(g, g.rmsNorm(x, w('input_layernorm'), norm), w, part));
    return g.add(a, gatedMlp(g, g.rmsNorm(a, w('post_attention_layernorm'), norm), w, mlp));
  });
  return {
    ...head(g, last, (x) => g.rmsNorm(x, 'model.norm', norm), {
      name: 'lm_head',
      vocabularySize: c.vocab_size,
      tied: c.tie_word_embeddings ? 'model.embed_tokens' : undefined,
    }),
    vocabularySize: c.vocab_size,
    contextLength: c.max_position_embeddings,
  };
}

/** Names of the tied pair of Llama's shape. */
export const llamaTied: readonly (readonly string[])[] = [['model.embed_tokens.weight', 'lm_head.weight']];

/** Numbers from `begin`, `count` of them. */
export function range(begin: number, count: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => begin + i);
}
