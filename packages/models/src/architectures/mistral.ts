import { z } from 'zod';

import { defineArchitecture, type Architecture } from '../architecture.ts';
import { llama } from './llama.ts';
import { llamaForward, llamaTied } from './parts.ts';
import { ropeKeys, ropeOf } from './rope-config.ts';
import { activation, channels, flag, headsOf, layers, maybe, optional, positive, size } from './schema.ts';

/** Keys and defaults as in transformers' MistralConfig. */
const schema = z.object({
  ...ropeKeys,
  vocab_size: optional(size, 32_000),
  hidden_size: optional(channels, 4096),
  intermediate_size: optional(channels, 14_336),
  num_hidden_layers: optional(layers, 32),
  num_attention_heads: optional(channels, 32),
  num_key_value_heads: optional(channels, 8),
  head_dim: maybe(channels),
  hidden_act: activation('silu'),
  rms_norm_eps: optional(positive, 1e-6),
  max_position_embeddings: optional(size, 131_072),
  tie_word_embeddings: flag(false),
  /** Null for none; 4096 where the key is missing. */
  sliding_window: size.nullable().default(4096),
});

/** Mistral 7B (Jiang et al. 2023): Llama with a sliding window. Its GGUF files say that they are Llama's. */
export const mistral: Architecture = defineArchitecture({
  name: 'mistral',
  modelTypes: ['mistral'],
  schema,
  tied: llamaTied,
  forward(g, c) {
    const heads = headsOf(c);
    const part = { ...heads, rope: ropeOf(c, heads), window: c.sliding_window ?? undefined };
    return llamaForward(g, c, () => part);
  },
  // Such files are read as Llama's; they have no word for the window.
  ...(llama.gguf && {
    gguf: { ...llama.gguf, config: (file) => ({ ...llama.gguf?.config(file), sliding_window: null }) },
  }),
});
