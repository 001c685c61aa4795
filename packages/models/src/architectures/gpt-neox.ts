import type { Node } from '@llm/tensor';
import { z } from 'zod';

import { defineArchitecture, type Architecture } from '../architecture.ts';
import { commonConfig, GgufMetadata, ropeFromGguf, tensorNames } from './gguf-config.ts';
import { fusedAttention, groupMajor, groupToPartMajor, head, plainMlp } from './parts.ts';
import { ropeKeys, ropeOf } from './rope-config.ts';
import { activation, channels, flag, headsOf, layers, maybe, optional, positive, size } from './schema.ts';

/** Keys and defaults as in transformers' GPTNeoXConfig. */
const schema = z.object({
  ...ropeKeys,
  vocab_size: optional(size, 50_432),
  hidden_size: optional(channels, 6144),
  intermediate_size: optional(channels, 24_576),
  num_hidden_layers: optional(layers, 44),
  num_attention_heads: optional(channels, 64),
  hidden_act: activation('gelu'),
  rotary_pct: maybe(positive),
  rotary_emb_base: maybe(positive),
  layer_norm_eps: optional(positive, 1e-5),
  max_position_embeddings: optional(size, 2048),
  use_parallel_residual: flag(true),
  attention_bias: flag(true),
  tie_word_embeddings: flag(false),
});

/** GPT-NeoX-20B, Pythia, Dolly v2, RedPajama, StableLM alpha (Black et al. 2022). */
export const gptNeoX: Architecture = defineArchitecture({
  name: 'gpt-neox',
  modelTypes: ['gpt_neox'],
  schema,
  tied: [['gpt_neox.embed_in.weight', 'embed_out.weight']],
  forward(g, c) {
    const heads = headsOf(c);
    const rope = ropeOf(c, { ...heads, theta: c.rotary_emb_base ?? 10_000, partialRotaryFactor: c.rotary_pct ?? 0.25 });
    const parts = groupMajor(heads);
    const norm = { epsilon: c.layer_norm_eps };
    const hiddenSize = c.hidden_size;
    const bias = c.attention_bias;
    const mlpPart = {
      hiddenSize,
      intermediateSize: c.intermediate_size,
      activation: c.hidden_act,
      up: 'mlp.dense_h_to_4h',
      down: 'mlp.dense_4h_to_h',
    };

    const tokens = g.embed(g.tokens(), 'gpt_neox.embed_in', c.vocab_size, hiddenSize);
    const last = g.blocks('gpt_neox.layers', c.num_hidden_layers, tokens, (x, w, layer) => {
      const qkv = g.linear(g.layerNorm(x, w('input_layernorm'), norm), w('attention.query_key_value'), 3 * hiddenSize, {
        bias,
      });
      const attended = fusedAttention(g, qkv, parts, { ...heads, layer, rope });
      const attention = g.linear(attended, w('attention.dense'), hiddenSize, { bias });
      const mlp = (y: Node): Node => plainMlp(g, g.layerNorm(y, w('post_attention_layernorm'), norm), w, mlpPart);
      const a = g.add(x, attention);
      return g.add(a, mlp(c.use_parallel_residual ? x : a));
    });
    return {
      ...head(g, last, (x) => g.layerNorm(x, 'gpt_neox.final_layer_norm', norm), {
        name: 'embed_out',
        vocabularySize: c.vocab_size,
        tied: c.tie_word_embeddings ? 'gpt_neox.embed_in' : undefined,
      }),
      vocabularySize: c.vocab_size,
      contextLength: c.max_position_embeddings,
    };
  },
  gguf: {
    architecture: 'gptneox',
    // llama.cpp takes the tanh form of GELU whatever a model was trained with.
    ownKeys: ['hidden_act'],
    tensors: tensorNames({
      token_embd: 'gpt_neox.embed_in',
      output_norm: 'gpt_neox.final_layer_norm',
      output: 'embed_out',
      'blk.#.attn_norm': 'gpt_neox.layers.#.input_layernorm',
      'blk.#.attn_qkv': 'gpt_neox.layers.#.attention.query_key_value',
      'blk.#.attn_output': 'gpt_neox.layers.#.attention.dense',
      'blk.#.ffn_norm': 'gpt_neox.layers.#.post_attention_layernorm',
      'blk.#.ffn_up': 'gpt_neox.layers.#.mlp.dense_h_to_4h',
      'blk.#.ffn_down': 'gpt_neox.layers.#.mlp.dense_4h_to_h',
    }),
    rowOrder: (name, config) =>
      name.includes('.query_key_value.') ? groupToPartMajor(headsOf(schema.parse(config))) : undefined,
    config(file) {
      const meta = new GgufMetadata(file, 'gptneox');
      const headDim = meta.need('embedding_length') / meta.need('attention.head_count');
      return {
        ...commonConfig('gpt_neox', meta),
        ...ropeFromGguf(meta),
        rotary_pct: meta.need('rope.dimension_count') / headDim,
        layer_norm_eps: meta.need('attention.layer_norm_epsilon'),
        use_parallel_residual: meta.flag('use_parallel_residual'),
        hidden_act: meta.string('hidden_act'),
        attention_bias: file.has('blk.0.attn_qkv.bias'),
      };
    },
  },
});
