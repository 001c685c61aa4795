/** Config keys of the GPT-2 line, and how GGUF files give them. */
import type { Activation } from '@llm/tensor';
import { z } from 'zod';

import type { HfConfig } from '../architecture.ts';
import type { GgufMetadata } from './gguf-config.ts';
import { commonConfig } from './gguf-config.ts';
import { activation, channels, flag, type Heads, headsOf, layers, maybe, optional, positive, size } from './schema.ts';

export interface GptKeys {
  readonly vocab_size: number;
  readonly n_positions: number;
  readonly n_embd: number;
  readonly n_layer: number;
  readonly n_head: number;
  readonly n_inner: number | undefined;
  readonly activation_function: Activation;
  readonly layer_norm_epsilon: number;
  readonly tie_word_embeddings: boolean;
}

/** Their schemas, with the defaults of an architecture. */
export function gptKeys(defaults: {
  readonly vocabulary: number;
  readonly positions: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly activation: string;
  readonly tied: boolean;
}): { readonly [Key in keyof GptKeys]: z.ZodType<GptKeys[Key]> } {
  return {
    vocab_size: optional(size, defaults.vocabulary),
    n_positions: optional(size, defaults.positions),
    n_embd: optional(channels, defaults.width),
    n_layer: optional(layers, defaults.layers),
    n_head: optional(channels, defaults.heads),
    n_inner: maybe(channels),
    activation_function: activation(defaults.activation),
    layer_norm_epsilon: optional(positive, 1e-5),
    tie_word_embeddings: flag(defaults.tied),
  };
}

/** @param kvHeads default: as many as heads */
export function gptHeads(c: GptKeys, kvHeads: number = c.n_head): Heads {
  return headsOf({ hidden_size: c.n_embd, num_attention_heads: c.n_head, num_key_value_heads: kvHeads });
}

/** These keys out of GGUF metadata. */
export function gptConfig(modelType: string, meta: GgufMetadata): HfConfig {
  const common = commonConfig(modelType, meta);
  return {
    ...common,
    n_embd: common['hidden_size'],
    n_layer: common['num_hidden_layers'],
    n_head: common['num_attention_heads'],
    n_inner: common['intermediate_size'],
    n_positions: common['max_position_embeddings'],
    layer_norm_epsilon: meta.need('attention.layer_norm_epsilon'),
  };
}

/** The stems of GPT-2's tensors in GGUF files. */
export const gptTensors = {
  token_embd: 'transformer.wte',
  position_embd: 'transformer.wpe',
  output_norm: 'transformer.ln_f',
  output: 'lm_head',
  'blk.#.attn_norm': 'transformer.h.#.ln_1',
  'blk.#.attn_qkv': 'transformer.h.#.attn.c_attn',
  'blk.#.attn_output': 'transformer.h.#.attn.c_proj',
  'blk.#.ffn_norm': 'transformer.h.#.ln_2',
  'blk.#.ffn_up': 'transformer.h.#.mlp.c_fc',
  'blk.#.ffn_down': 'transformer.h.#.mlp.c_proj',
} as const;
