import { z } from 'zod';

import { defineArchitecture, type Architecture } from '../architecture.ts';
import { commonConfig, GgufMetadata, ropeFromGguf, tensorNames } from './gguf-config.ts';
import { fusedAttention, head, llamaTied, partMajor, range } from './parts.ts';
import { ropeKeys, ropeOf } from './rope-config.ts';
import { activation, channels, flag, headsOf, layers, maybe, optional, positive, size } from './schema.ts';

/** Keys and defaults as in transformers' Phi3Config. */
const schema = z.object({
  ...ropeKeys,
  vocab_size: optional(size, 32_064),
  hidden_size: optional(channels, 3072),
  intermediate_size: optional(channels, 8192),
  num_hidden_layers: optional(layers, 32),
  num_attention_heads: optional(channels, 32),
  num_key_value_heads: maybe(channels),
  hidden_act: activation('silu'),
  rms_norm_eps: optional(positive, 1e-5),
  max_position_embeddings: optional(size, 4096),
  original_max_position_embeddings: optional(size, 4096),
  tie_word_embeddings: flag(false),
  sliding_window: maybe(size),
});

/** Phi-3, 3.5 and 4-mini (Abdin et al. 2024): fused projections, LongRoPE. */
export const phi3: Architecture = defineArchitecture({
  name: 'phi3',
  modelTypes: ['phi3'],
  schema,
  tied: llamaTied,
  forward(g, c) {
    const heads = headsOf(c);
    const rope = ropeOf(c, heads);
    const norm = { epsilon: c.rms_norm_eps };
    const hiddenSize = c.hidden_size;
    const inner = c.intermediate_size;
    const [gateChannels, upChannels] = [range(0, inner), range(inner, inner)];
    const parts = partMajor(heads);
    const fused = parts.q.length + parts.k.length + parts.v.length;

    const tokens = g.embed(g.tokens(), 'model.embed_tokens', c.vocab_size, hiddenSize);
    const last = g.blocks('model.layers', c.num_hidden_layers, tokens, (x, w, layer) => {
      const qkv = g.linear(g.rmsNorm(x, w('input_layernorm'), norm), w('self_attn.qkv_proj'), fused);
      const attended = fusedAttention(g, qkv, parts, { ...heads, layer, rope, window: c.sliding_window });
      const a = g.add(x, g.linear(attended, w('self_attn.o_proj'), hiddenSize));
      const gateUp = g.linear(g.rmsNorm(a, w('post_attention_layernorm'), norm), w('mlp.gate_up_proj'), 2 * inner);
      const gate = g.activation(c.hidden_act, g.take(gateUp, gateChannels));
      return g.add(a, g.linear(g.mul(gate, g.take(gateUp, upChannels)), w('mlp.down_proj'), hiddenSize));
    });
    return {
      ...head(g, last, (x) => g.rmsNorm(x, 'model.norm', norm), {
        name: 'lm_head',
        vocabularySize: c.vocab_size,
        tied: c.tie_word_embeddings ? 'model.embed_tokens' : undefined,
      }),
      vocabularySize: c.vocab_size,
      contextLength: c.max_position_embeddings,
    };
  },
  gguf: {
    architecture: 'phi3',
    tensors: tensorNames({
      token_embd: 'model.embed_tokens',
      output_norm: 'model.norm',
      output: 'lm_head',
      'blk.#.attn_norm': 'model.layers.#.input_layernorm',
      'blk.#.attn_qkv': 'model.layers.#.self_attn.qkv_proj',
      'blk.#.attn_output': 'model.layers.#.self_attn.o_proj',
      'blk.#.ffn_norm': 'model.layers.#.post_attention_layernorm',
      'blk.#.ffn_up': 'model.layers.#.mlp.gate_up_proj',
      'blk.#.ffn_down': 'model.layers.#.mlp.down_proj',
    }),
    config(file) {
      const meta = new GgufMetadata(file, 'phi3');
      const headDim = meta.need('embedding_length') / meta.need('attention.head_count');
      return {
        ...commonConfig('phi3', meta),
        ...ropeFromGguf(meta),
        partial_rotary_factor: (meta.number('rope.dimension_count') ?? headDim) / headDim,
        original_max_position_embeddings: meta.number('rope.scaling.original_context_length'),
        rms_norm_eps: meta.need('attention.layer_norm_rms_epsilon'),
        sliding_window: meta.number('attention.sliding_window') || undefined,
      };
    },
  },
});
