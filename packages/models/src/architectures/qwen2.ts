import { z } from 'zod';

import { defineArchitecture, type Architecture } from '../architecture.ts';
import { commonConfig, GgufMetadata, llamaTensors, ropeFromGguf, tensorNames } from './gguf-config.ts';
import { llamaForward, llamaTied } from './parts.ts';
import { ropeKeys, ropeOf } from './rope-config.ts';
import { activation, channels, flag, headsOf, layers, maybe, optional, positive, size } from './schema.ts';
import { layerTypeKeys, layerWindow } from './layer-types.ts';

/** Keys and defaults as in transformers' Qwen2Config. */
const schema = z.object({
  ...ropeKeys,
  ...layerTypeKeys,
  vocab_size: optional(size, 151_936),
  hidden_size: optional(channels, 4096),
  intermediate_size: optional(channels, 22_016),
  num_hidden_layers: optional(layers, 32),
  num_attention_heads: optional(channels, 32),
  num_key_value_heads: maybe(channels),
  hidden_act: activation('silu'),
  rms_norm_eps: optional(positive, 1e-6),
  max_position_embeddings: optional(size, 32_768),
  tie_word_embeddings: flag(false),
  use_sliding_window: flag(false),
  max_window_layers: optional(z.number().int().nonnegative(), 28),
});

/** Qwen 2 and 2.5 (Yang et al. 2024): Llama with biases on q, k and v. */
export const qwen2: Architecture = defineArchitecture({
  name: 'qwen2',
  modelTypes: ['qwen2'],
  schema,
  tied: llamaTied,
  forward(g, c) {
    const heads = headsOf(c);
    const part = { ...heads, rope: ropeOf(c, heads), bias: true };
    return llamaForward(g, c, (layer) => ({
      ...part,
      window: c.use_sliding_window ? layerWindow(c, layer, () => layer >= c.max_window_layers) : undefined,
    }));
  },
  gguf: {
    architecture: 'qwen2',
    tensors: tensorNames(llamaTensors),
    config(file) {
      const meta = new GgufMetadata(file, 'qwen2');
      return {
        ...commonConfig('qwen2', meta),
        ...ropeFromGguf(meta),
        rms_norm_eps: meta.need('attention.layer_norm_rms_epsilon'),
      };
    },
  },
});
