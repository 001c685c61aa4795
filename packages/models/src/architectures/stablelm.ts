import type { Node } from '@llm/tensor';
import { z } from 'zod';

import { defineArchitecture, type Architecture } from '../architecture.ts';
import { commonConfig, GgufMetadata, llamaTensors, ropeFromGguf, tensorNames } from './gguf-config.ts';
import { gatedMlp, head, llamaTied, separateAttention } from './parts.ts';
import { ropeKeys, ropeOf } from './rope-config.ts';
import { activation, channels, flag, headsOf, layers, maybe, optional, positive, size } from './schema.ts';

/** Keys and defaults as in transformers' StableLmConfig. */
const schema = z.object({
  ...ropeKeys,
  vocab_size: optional(size, 50_304),
  hidden_size: optional(channels, 2560),
  intermediate_size: optional(channels, 6912),
  num_hidden_layers: optional(layers, 32),
  num_attention_heads: optional(channels, 32),
  num_key_value_heads: maybe(channels),
  hidden_act: activation('silu'),
  layer_norm_eps: optional(positive, 1e-5),
  max_position_embeddings: optional(size, 4096),
  tie_word_embeddings: flag(false),
  use_qkv_bias: flag(false),
  use_parallel_residual: flag(false),
  /** StableLM-2-12B has one norm per head, each with weights of its own. */
  qk_layernorm: z.literal(false, 'heads with norms of their own are not supported').nullish(),
});

/** StableLM 3B and StableLM 2 1.6B (Bellagente et al. 2024). */
export const stableLm: Architecture = defineArchitecture({
  name: 'stablelm',
  modelTypes: ['stablelm'],
  schema,
  tied: llamaTied,
  forward(g, c) {
    const heads = headsOf(c);
    const rope = ropeOf(c, { ...heads, partialRotaryFactor: 0.25 });
    const norm = { epsilon: c.layer_norm_eps };
    const hiddenSize = c.hidden_size;
    const part = { ...heads, hiddenSize, rope, bias: c.use_qkv_bias };
    const mlpPart = { hiddenSize, intermediateSize: c.intermediate_size, activation: c.hidden_act };

    const tokens = g.embed(g.tokens(), 'model.embed_tokens', c.vocab_size, hiddenSize);
    const last = g.blocks('model.layers', c.num_hidden_layers, tokens, (x, w, layer) => {
      const h = g.layerNorm(x, w('input_layernorm'), norm);
      const attention = separateAttention(g, h, w, { ...part, layer });
      const mlp = (y: Node): Node => gatedMlp(g, y, w, mlpPart);
      if (c.use_parallel_residual) return g.add(g.add(x, attention), mlp(h));
      const a = g.add(x, attention);
      return g.add(a, mlp(g.layerNorm(a, w('post_attention_layernorm'), norm)));
    });
    return {
      ...head(g, last, (x) => g.layerNorm(x, 'model.norm', norm), {
        name: 'lm_head',
        vocabularySize: c.vocab_size,
        tied: c.tie_word_embeddings ? 'model.embed_tokens' : undefined,
      }),
      vocabularySize: c.vocab_size,
      contextLength: c.max_position_embeddings,
    };
  },
  gguf: {
    architecture: 'stablelm',
    tensors: tensorNames(llamaTensors),
    config(file) {
      const meta = new GgufMetadata(file, 'stablelm');
      const headDim = meta.need('embedding_length') / meta.need('attention.head_count');
      return {
        ...commonConfig('stablelm', meta),
        ...ropeFromGguf(meta),
        partial_rotary_factor: meta.need('rope.dimension_count') / headDim,
        layer_norm_eps: meta.need('attention.layer_norm_epsilon'),
        use_qkv_bias: file.has('blk.0.attn_q.bias'),
        use_parallel_residual: meta.flag('use_parallel_residual'),
        qk_layernorm: file.has('blk.0.attn_q_norm.weight'),
      };
    },
  },
});
