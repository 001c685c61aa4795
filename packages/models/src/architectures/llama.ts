import { z } from 'zod';

import { defineArchitecture, type Architecture, type GgufMapping, type HfConfig } from '../architecture.ts';
import {
  commonConfig,
  GgufMetadata,
  llamaBiases,
  llamaTensors,
  ropeFromGguf,
  rotaryRowOrder,
  tensorNames,
} from './gguf-config.ts';
import { gatedMlp, separateAttention } from './parts.ts';
import { ropeKeys, ropeOf } from './rope-config.ts';
import { activation, flag, headsOf, maybe, optional, positive, size } from './schema.ts';

/** Keys and defaults as in transformers' LlamaConfig. */
const schema = z.object({
  ...ropeKeys,
  vocab_size: optional(size, 32_000),
  hidden_size: optional(size, 4096),
  intermediate_size: optional(size, 11_008),
  num_hidden_layers: optional(size, 32),
  num_attention_heads: optional(size, 32),
  num_key_value_heads: maybe(size),
  head_dim: maybe(size),
  hidden_act: activation('silu'),
  rms_norm_eps: optional(positive, 1e-6),
  max_position_embeddings: optional(size, 2048),
  tie_word_embeddings: flag(false),
  attention_bias: flag(false),
  mlp_bias: flag(false),
});

const gguf: GgufMapping = {
  architecture: 'llama',
  tensors: tensorNames(llamaTensors, llamaBiases),
  rowOrder(name, config) {
    const part = /self_attn\.([qk])_proj\.(?:weight|bias)$/.exec(name)?.[1];
    if (part === undefined) return undefined;
    const { heads, kvHeads, headDim } = headsOf(schema.parse(config));
    return rotaryRowOrder(part === 'q' ? heads : kvHeads, headDim);
  },
  config(file): HfConfig {
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
};

/** Llama 1 to 3 and everything of their shape (Touvron et al. 2023). */
export const llama: Architecture = defineArchitecture({
  name: 'llama',
  modelTypes: ['llama'],
  schema,
  tied: [['model.embed_tokens.weight', 'lm_head.weight']],
  gguf,
  forward(g, c) {
    const { heads, kvHeads, headDim } = headsOf(c);
    const rope = ropeOf(c, { headDim });
    const hiddenSize = c.hidden_size;
    const norm = { epsilon: c.rms_norm_eps };
    const bias = c.attention_bias;
    const mlp = { hiddenSize, intermediateSize: c.intermediate_size, activation: c.hidden_act, bias: c.mlp_bias };

    const tokens = g.embed(g.tokens(), 'model.embed_tokens', c.vocab_size, hiddenSize);
    const last = g.blocks('model.layers', c.num_hidden_layers, tokens, (x, w, layer) => {
      const attention = { heads, kvHeads, headDim, hiddenSize, layer, rope, bias, outputBias: bias };
      const a = g.add(x, separateAttention(g, g.rmsNorm(x, w('input_layernorm'), norm), w, attention));
      return g.add(a, gatedMlp(g, g.rmsNorm(a, w('post_attention_layernorm'), norm), w, mlp));
    });
    const hidden = g.rmsNorm(g.lastTokens(last), 'model.norm', norm);
    const logits = g.linear(
      hidden,
      'lm_head',
      c.vocab_size,
      c.tie_word_embeddings ? { weight: 'model.embed_tokens.weight' } : {},
    );
    return { logits, hidden, vocabularySize: c.vocab_size, contextLength: c.max_position_embeddings };
  },
});
