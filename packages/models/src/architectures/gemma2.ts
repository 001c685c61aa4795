import { z } from 'zod';

import { defineArchitecture, type Architecture } from '../architecture.ts';
import { gemmaFileOffset, gemmaForward, gemmaTensors } from './gemma-parts.ts';
import { commonConfig, GgufMetadata, ropeFromGguf, tensorNames } from './gguf-config.ts';
import { layerTypeKeys, layerWindow } from './layer-types.ts';
import { llamaTied } from './parts.ts';
import { ropeKeys, ropeOf } from './rope-config.ts';
import { activation, channels, flag, headsOf, layers, maybe, optional, positive, size } from './schema.ts';

/** Keys and defaults as in transformers' Gemma2Config. */
const schema = z.object({
  ...ropeKeys,
  ...layerTypeKeys,
  vocab_size: optional(size, 256_000),
  hidden_size: optional(channels, 2304),
  intermediate_size: optional(channels, 9216),
  num_hidden_layers: optional(layers, 26),
  num_attention_heads: optional(channels, 8),
  num_key_value_heads: optional(channels, 4),
  head_dim: optional(channels, 256),
  hidden_activation: activation('gelu_pytorch_tanh'),
  rms_norm_eps: optional(positive, 1e-6),
  max_position_embeddings: optional(size, 8192),
  tie_word_embeddings: flag(true),
  attention_bias: flag(false),
  query_pre_attn_scalar: optional(positive, 256),
  sliding_window: optional(size, 4096),
  attn_logit_softcapping: maybe(positive),
  final_logit_softcapping: maybe(positive),
});

/** Gemma 2 (Riviere et al. 2024): soft-capped scores, every other layer sees a window only. */
export const gemma2: Architecture = defineArchitecture({
  name: 'gemma2',
  modelTypes: ['gemma2'],
  schema,
  tied: llamaTied,
  forward(g, c) {
    const heads = headsOf(c);
    const part = {
      ...heads,
      rope: ropeOf(c, heads),
      bias: c.attention_bias,
      outputBias: c.attention_bias,
      scale: c.query_pre_attn_scalar ** -0.5,
      softcap: c.attn_logit_softcapping,
    };
    return gemmaForward(g, c, (layer) => ({ ...part, window: layerWindow(c, layer, () => layer % 2 === 0) }));
  },
  gguf: {
    architecture: 'gemma2',
    tensors: tensorNames(gemmaTensors),
    offset: gemmaFileOffset,
    config(file) {
      const meta = new GgufMetadata(file, 'gemma2');
      const headDim = meta.need('attention.key_length');
      // The file does not say it; of the published sizes only 27B, with its 46 layers, has another number than the head's size.
      const wide = meta.need('block_count') === 46;
      return {
        ...commonConfig('gemma2', meta),
        ...ropeFromGguf(meta),
        head_dim: headDim,
        query_pre_attn_scalar: wide ? meta.need('embedding_length') / meta.need('attention.head_count') : headDim,
        sliding_window: meta.number('attention.sliding_window'),
        attn_logit_softcapping: meta.number('attn_logit_softcapping') ?? 50,
        final_logit_softcapping: meta.number('final_logit_softcapping') ?? 30,
        rms_norm_eps: meta.need('attention.layer_norm_rms_epsilon'),
      };
    },
  },
});
