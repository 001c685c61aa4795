/** What Gemma 2 and 3 share. */
import type { Activation, Node } from '@llm/tensor';

import type { ForwardPass } from '../architecture.ts';
import type { Builder } from './builder.ts';
import { gatedMlp, head, separateAttention, type SeparatePart } from './parts.ts';

export interface GemmaKeys {
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly hidden_activation: Activation;
  readonly rms_norm_eps: number;
  readonly max_position_embeddings: number;
  readonly tie_word_embeddings: boolean;
  readonly final_logit_softcapping: number | undefined;
}

/** Norms multiply by 1 + weight. */
export const gemmaOffset = 1;

/** Norms before and after both halves of a block, embeddings times the root of their width, soft-capped logits. */
export function gemmaForward(
  g: Builder,
  c: GemmaKeys,
  layerPart: (layer: number) => Omit<SeparatePart, 'layer' | 'hiddenSize'>,
): Omit<ForwardPass, 'graph'> {
  const hiddenSize = c.hidden_size;
  const norm = (x: Node, name: string): Node =>
    g.rmsNorm(x, name, { epsilon: c.rms_norm_eps, weightOffset: gemmaOffset });
  const mlp = { hiddenSize, intermediateSize: c.intermediate_size, activation: c.hidden_activation };
  const tokens = g.embed(g.tokens(), 'model.embed_tokens', c.vocab_size, hiddenSize, { scale: Math.sqrt(hiddenSize) });
  const last = g.blocks('model.layers', c.num_hidden_layers, tokens, (x, w, layer) => {
    const attention = separateAttention(g, norm(x, w('input_layernorm')), w, {
      ...layerPart(layer),
      layer,
      hiddenSize,
    });
    const a = g.add(x, norm(attention, w('post_attention_layernorm')));
    const f = gatedMlp(g, norm(a, w('pre_feedforward_layernorm')), w, mlp);
    return g.add(a, norm(f, w('post_feedforward_layernorm')));
  });
  const { logits, hidden } = head(g, last, (x) => norm(x, 'model.norm'), {
    name: 'lm_head',
    vocabularySize: c.vocab_size,
    tied: c.tie_word_embeddings ? 'model.embed_tokens' : undefined,
  });
  const cap = c.final_logit_softcapping;
  return {
    logits: cap === undefined ? logits : g.softcap(logits, cap),
    hidden,
    vocabularySize: c.vocab_size,
    contextLength: c.max_position_embeddings,
  };
}

/** The stems of Gemma's tensors in GGUF files. */
export const gemmaTensors = {
  token_embd: 'model.embed_tokens',
  output_norm: 'model.norm',
  output: 'lm_head',
  'blk.#.attn_norm': 'model.layers.#.input_layernorm',
  'blk.#.attn_q': 'model.layers.#.self_attn.q_proj',
  'blk.#.attn_k': 'model.layers.#.self_attn.k_proj',
  'blk.#.attn_v': 'model.layers.#.self_attn.v_proj',
  'blk.#.attn_output': 'model.layers.#.self_attn.o_proj',
  'blk.#.post_attention_norm': 'model.layers.#.post_attention_layernorm',
  'blk.#.ffn_norm': 'model.layers.#.pre_feedforward_layernorm',
  'blk.#.ffn_gate': 'model.layers.#.mlp.gate_proj',
  'blk.#.ffn_up': 'model.layers.#.mlp.up_proj',
  'blk.#.ffn_down': 'model.layers.#.mlp.down_proj',
  'blk.#.post_ffw_norm': 'model.layers.#.post_feedforward_layernorm',
} as const;

/** GGUF files hold 1 + weight. */
export function gemmaFileOffset(name: string): number {
  return name.endsWith('norm.weight') ? gemmaOffset : 0;
}
