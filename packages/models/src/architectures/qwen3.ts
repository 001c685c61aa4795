import { z } from 'zod';

import { defineArchitecture, type Architecture } from '../architecture.ts';
import { commonConfig, GgufMetadata, headNormTensors, llamaTensors, ropeFromGguf, tensorNames } from './gguf-config.ts';
import { layerTypeKeys, layerWindow } from './layer-types.ts';
import { llamaForward, llamaTied } from './parts.ts';
import { ropeKeys, ropeOf } from './rope-config.ts';
import { activation, channels, flag, headsOf, layers, maybe, optional, positive, size } from './schema.ts';

/** Keys and defaults as in transformers' Qwen3Config. */
const schema = z.object({
  ...ropeKeys,
  ...layerTypeKeys,
  vocab_size: optional(size, 151_936),
  hidden_size: optional(channels, 4096),
  intermediate_size: optional(channels, 22_016),
  num_hidden_layers: optional(layers, 32),
  num_attention_heads: optional(channels, 32),
  num_key_value_heads: maybe(channels),
  head_dim: optional(channels, 128),
  hidden_act: activation('silu'),
  rms_norm_eps: optional(positive, 1e-6),
  max_position_embeddings: optional(size, 32_768),
  tie_word_embeddings: flag(false),
  attention_bias: flag(false),
  use_sliding_window: flag(false),
  max_window_layers: optional(z.number().int().nonnegative(), 28),
});

/** Qwen 3 (Yang et al. 2025): Llama with every head of q and k normalised. */
export const qwen3: Architecture = defineArchitecture({
  name: 'qwen3',
  modelTypes: ['qwen3'],
  schema,
  tied: llamaTied,
  forward(g, c) {
    const heads = headsOf(c);
    const bias = c.attention_bias;
    const norm = { epsilon: c.rms_norm_eps, perHead: heads.headDim };
    return llamaForward(g, c, (layer) => ({
      ...heads,
      rope: ropeOf(c, heads),
      bias,
      outputBias: bias,
      headNorm: (x, name) => g.rmsNorm(x, name, norm),
      window: c.use_sliding_window ? layerWindow(c, layer, () => layer >= c.max_window_layers) : undefined,
    }));
  },
  gguf: {
    architecture: 'qwen3',
    tensors: tensorNames({ ...llamaTensors, ...headNormTensors }),
    config(file) {
      const meta = new GgufMetadata(file, 'qwen3');
      return {
        ...commonConfig('qwen3', meta),
        ...ropeFromGguf(meta),
        head_dim: meta.number('attention.key_length'),
        rms_norm_eps: meta.need('attention.layer_norm_rms_epsilon'),
        attention_bias: file.has('blk.0.attn_q.bias'),
      };
    },
  },
});
