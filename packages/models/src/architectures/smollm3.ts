import { z } from 'zod';

import { defineArchitecture, type Architecture } from '../architecture.ts';
import { commonConfig, GgufMetadata, llamaTensors, ropeFromGguf, rotaryRowOrder, tensorNames } from './gguf-config.ts';
import { layerTypeKeys, layerWindow } from './layer-types.ts';
import { llamaForward, llamaTied } from './parts.ts';
import { ropeKeys, ropeOf } from './rope-config.ts';
import { activation, channels, flag, headsOf, layers, maybe, optional, positive, size } from './schema.ts';

/** Keys and defaults as in transformers' SmolLM3Config. */
const schema = z.object({
  ...ropeKeys,
  ...layerTypeKeys,
  vocab_size: optional(size, 128_256),
  hidden_size: optional(channels, 2048),
  intermediate_size: optional(channels, 11_008),
  num_hidden_layers: optional(layers, 36),
  num_attention_heads: optional(channels, 16),
  num_key_value_heads: optional(channels, 4),
  hidden_act: activation('silu'),
  rms_norm_eps: optional(positive, 1e-6),
  max_position_embeddings: optional(size, 32_768),
  tie_word_embeddings: flag(true),
  attention_bias: flag(false),
  mlp_bias: flag(false),
  /** 0 for a layer that knows no positions, despite the name. */
  no_rope_layers: maybe(z.array(z.number())),
  no_rope_layer_interval: optional(size, 4),
  use_sliding_window: flag(false),
});

/** SmolLM 3: Llama in which every fourth layer knows no positions (Yang et al. 2025, RNoPE). */
export const smolLm3: Architecture = defineArchitecture({
  name: 'smollm3',
  modelTypes: ['smollm3'],
  schema,
  tied: llamaTied,
  forward(g, c) {
    const heads = headsOf(c);
    const rope = ropeOf(c, { ...heads, theta: 2_000_000 });
    const rotated = (layer: number): boolean =>
      c.no_rope_layers ? c.no_rope_layers[layer] !== 0 : (layer + 1) % c.no_rope_layer_interval !== 0;
    return llamaForward(
      g,
      c,
      (layer) => ({
        ...heads,
        bias: c.attention_bias,
        outputBias: c.attention_bias,
        rope: rotated(layer) ? rope : undefined,
        window: c.use_sliding_window ? layerWindow(c, layer, () => !rotated(layer)) : undefined,
      }),
      c.mlp_bias,
    );
  },
  gguf: {
    architecture: 'smollm3',
    tensors: tensorNames(llamaTensors),
    rowOrder: (name, config) => rotaryRowOrder(name, headsOf(schema.parse(config))),
    config(file) {
      const meta = new GgufMetadata(file, 'smollm3');
      return {
        ...commonConfig('smollm3', meta),
        ...ropeFromGguf(meta),
        rms_norm_eps: meta.need('attention.layer_norm_rms_epsilon'),
      };
    },
  },
});
