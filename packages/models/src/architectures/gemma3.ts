import { z } from 'zod';

import { defineArchitecture, type Architecture } from '../architecture.ts';
import { gemmaFileOffset, gemmaForward, gemmaOffset, gemmaTensors } from './gemma-parts.ts';
import { commonConfig, GgufMetadata, headNormTensors, ropeFromGguf, tensorNames } from './gguf-config.ts';
import { layerTypeKeys, slides } from './layer-types.ts';
import { llamaTied } from './parts.ts';
import { ropeKeys, ropeOf } from './rope-config.ts';
import { activation, channels, flag, headsOf, layers, maybe, optional, positive, size } from './schema.ts';

/** Keys and defaults as in transformers' Gemma3TextConfig. */
const textSchema = z.object({
  ...ropeKeys,
  ...layerTypeKeys,
  vocab_size: optional(size, 262_208),
  hidden_size: optional(channels, 2304),
  intermediate_size: optional(channels, 9216),
  num_hidden_layers: optional(layers, 26),
  num_attention_heads: optional(channels, 8),
  num_key_value_heads: optional(channels, 4),
  head_dim: optional(channels, 256),
  hidden_activation: activation('gelu_pytorch_tanh'),
  rms_norm_eps: optional(positive, 1e-6),
  max_position_embeddings: optional(size, 131_072),
  tie_word_embeddings: flag(true),
  attention_bias: flag(false),
  query_pre_attn_scalar: optional(positive, 256),
  sliding_window: optional(size, 4096),
  sliding_window_pattern: optional(size, 6),
  rope_local_base_freq: optional(positive, 10_000),
  attn_logit_softcapping: maybe(positive),
  final_logit_softcapping: maybe(positive),
});

/** The models that see have the text part's config in a key of its own. */
const schema = z.preprocess(
  (config) => (config !== null && typeof config === 'object' && 'text_config' in config ? config.text_config : config),
  textSchema,
);

/** Where the weights of the text part are inside those models, before and since transformers 5. */
const insideVision = (name: string): string[] => [
  `language_model.${name}`,
  name.replace(/^model\./, 'model.language_model.'),
];

/** The text part of Gemma 3 (Kamath et al. 2025): five layers with a window for every one that sees all, each kind with its own rotation. */
export const gemma3: Architecture = defineArchitecture({
  name: 'gemma3',
  modelTypes: ['gemma3_text', 'gemma3'],
  schema,
  tied: llamaTied,
  alias: insideVision,
  forward(g, c) {
    const heads = headsOf(c);
    const globalRope = ropeOf(c, { ...heads, theta: 1_000_000, layerType: 'full_attention' });
    // Files older than transformers 5 have the local theta in a key of its own, and a scaling that is for global layers only.
    const local = c.rope_parameters ? c : { ...c, rope_theta: c.rope_local_base_freq, rope_scaling: undefined };
    const localRope = ropeOf(local, { ...heads, theta: c.rope_local_base_freq, layerType: 'sliding_attention' });
    const headNorm = { epsilon: c.rms_norm_eps, perHead: heads.headDim, weightOffset: gemmaOffset };
    return gemmaForward(g, c, (layer) => {
      const local = slides(c, layer, () => (layer + 1) % c.sliding_window_pattern !== 0);
      return {
        ...heads,
        rope: local ? localRope : globalRope,
        window: local ? c.sliding_window : undefined,
        bias: c.attention_bias,
        outputBias: c.attention_bias,
        headNorm: (x, name) => g.rmsNorm(x, name, headNorm),
        scale: c.query_pre_attn_scalar ** -0.5,
        softcap: c.attn_logit_softcapping,
      };
    });
  },
  gguf: {
    architecture: 'gemma3',
    tensors: tensorNames({ ...gemmaTensors, ...headNormTensors }),
    offset: gemmaFileOffset,
    config(file) {
      const meta = new GgufMetadata(file, 'gemma3');
      const headDim = meta.need('attention.key_length');
      // As for Gemma 2; here 27B has 62 layers.
      const wide = meta.need('block_count') === 62;
      return {
        ...commonConfig('gemma3_text', meta),
        ...ropeFromGguf(meta),
        head_dim: headDim,
        query_pre_attn_scalar: wide ? meta.need('embedding_length') / meta.need('attention.head_count') : headDim,
        sliding_window: meta.number('attention.sliding_window'),
        rope_local_base_freq: meta.number('rope.freq_base_swa'),
        rms_norm_eps: meta.need('attention.layer_norm_rms_epsilon'),
      };
    },
  },
});
