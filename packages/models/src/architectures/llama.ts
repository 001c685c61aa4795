import { z } from 'zod';

import { defineArchitecture, type Architecture } from '../architecture.ts';
import { commonConfig, GgufMetadata, llamaTensors, ropeFromGguf, rotaryRowOrder, tensorNames } from './gguf-config.ts';
import { llamaForward, llamaTied } from './parts.ts';
import { ropeKeys, ropeOf } from './rope-config.ts';
import { activation, channels, flag, headsOf, layers, maybe, optional, positive, size } from './schema.ts';

/** Keys and defaults as in transformers' LlamaConfig. */
const schema = z.object({
  ...ropeKeys,
  vocab_size: optional(size, 32_000),
  hidden_size: optional(channels, 4096),
  intermediate_size: optional(channels, 11_008),
  num_hidden_layers: optional(layers, 32),
  num_attention_heads: optional(channels, 32),
  num_key_value_heads: maybe(channels),
  head_dim: maybe(channels),
  hidden_act: activation('silu'),
  rms_norm_eps: optional(positive, 1e-6),
  max_position_embeddings: optional(size, 2048),
  tie_word_embeddings: flag(false),
  attention_bias: flag(false),
  mlp_bias: flag(false),
});

/** Llama 1 to 3 and everything of their shape (Touvron et al. 2023). */
export const llama: Architecture = defineArchitecture({
  name: 'llama',
  modelTypes: ['llama'],
  schema,
  tied: llamaTied,
  forward(g, c) {
    const heads = headsOf(c);
    const part = { ...heads, rope: ropeOf(c, heads), bias: c.attention_bias, outputBias: c.attention_bias };
    return llamaForward(g, c, () => part, c.mlp_bias);
  },
  gguf: {
    architecture: 'llama',
    tensors: tensorNames(llamaTensors),
    rowOrder: (name, config) => rotaryRowOrder(name, headsOf(schema.parse(config))),
    config(file) {
      const meta = new GgufMetadata(file, 'llama');
      return {
        ...commonConfig('llama', meta),
        ...ropeFromGguf(meta),
        head_dim: meta.number('attention.key_length') ?? meta.number('rope.dimension_count'),
        rms_norm_eps: meta.need('attention.layer_norm_rms_epsilon'),
        attention_bias: file.has('blk.0.attn_q.bias'),
        mlp_bias: file.has('blk.0.ffn_up.bias'),
      };
    },
  },
});
