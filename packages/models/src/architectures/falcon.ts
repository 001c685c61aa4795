import { z } from 'zod';

import { defineArchitecture, type Architecture } from '../architecture.ts';
import { alibiSlopes } from './alibi.ts';
import { commonConfig, GgufMetadata, ropeFromGguf, tensorNames } from './gguf-config.ts';
import { fusedAttention, groupMajor, groupToPartMajor, head, plainMlp } from './parts.ts';
import { ropeKeys, ropeOf } from './rope-config.ts';
import { activation, channels, flag, type Heads, headsOf, layers, maybe, optional, positive, size } from './schema.ts';

/** Keys and defaults as in transformers' FalconConfig. */
const schema = z.object({
  ...ropeKeys,
  vocab_size: optional(size, 65_024),
  hidden_size: optional(channels, 4544),
  num_hidden_layers: optional(layers, 32),
  num_attention_heads: optional(channels, 71),
  num_kv_heads: maybe(channels),
  num_ln_in_parallel_attn: maybe(size),
  ffn_hidden_size: maybe(channels),
  layer_norm_epsilon: optional(positive, 1e-5),
  activation: activation('gelu'),
  max_position_embeddings: optional(size, 2048),
  alibi: flag(false),
  new_decoder_architecture: flag(false),
  multi_query: flag(true),
  parallel_attn: flag(true),
  bias: flag(false),
  tie_word_embeddings: flag(true),
});

type Config = z.output<typeof schema>;

/** In every variant query_key_value has, for each key/value head, its queries, its key and its value. */
function falconHeads(c: Config): Heads {
  const shared = c.new_decoder_architecture ? (c.num_kv_heads ?? c.num_attention_heads) : 1;
  const kvHeads = c.new_decoder_architecture || c.multi_query ? shared : c.num_attention_heads;
  return headsOf({
    hidden_size: c.hidden_size,
    num_attention_heads: c.num_attention_heads,
    num_key_value_heads: kvHeads,
  });
}

/** Falcon 7B, 40B, 180B and 11B, and the small ones with ALiBi (Almazrouei et al. 2023). */
export const falcon: Architecture = defineArchitecture({
  name: 'falcon',
  modelTypes: ['falcon'],
  schema,
  tied: [['transformer.word_embeddings.weight', 'lm_head.weight']],
  // GGUF files call the norm of the mlp, where it has one of its own, as they call the only one of others.
  alias: (name) => (name.includes('.ln_mlp.') ? [name.replace('.ln_mlp.', '.input_layernorm.')] : []),
  forward(g, c) {
    const heads = falconHeads(c);
    const hiddenSize = c.hidden_size;
    const parts = groupMajor(heads);
    const norm = { epsilon: c.layer_norm_epsilon };
    const bias = c.bias;
    const rope = c.alibi ? undefined : ropeOf(c, heads);
    // Falcon adds its slopes before the scores are scaled.
    const alibi = c.alibi ? alibiSlopes(heads.heads).map((slope) => slope * heads.headDim ** -0.5) : undefined;
    const twoNorms = c.new_decoder_architecture && c.parallel_attn && (c.num_ln_in_parallel_attn ?? 2) === 2;
    const fused = (heads.heads + 2 * heads.kvHeads) * heads.headDim;
    const mlp = {
      hiddenSize,
      intermediateSize: c.ffn_hidden_size ?? 4 * hiddenSize,
      activation: c.activation,
      bias,
      up: 'mlp.dense_h_to_4h',
      down: 'mlp.dense_4h_to_h',
    };

    const tokens = g.embed(g.tokens(), 'transformer.word_embeddings', c.vocab_size, hiddenSize);
    const last = g.blocks('transformer.h', c.num_hidden_layers, tokens, (x, w, layer) => {
      const h = g.layerNorm(x, w(twoNorms ? 'ln_attn' : 'input_layernorm'), norm);
      const qkv = g.linear(h, w('self_attention.query_key_value'), fused, { bias });
      const attended = fusedAttention(g, qkv, parts, { ...heads, layer, rope, alibi });
      const a = g.add(x, g.linear(attended, w('self_attention.dense'), hiddenSize, { bias }));
      if (!c.parallel_attn) return g.add(a, plainMlp(g, g.layerNorm(a, w('post_attention_layernorm'), norm), w, mlp));
      return g.add(a, plainMlp(g, twoNorms ? g.layerNorm(x, w('ln_mlp'), norm) : h, w, mlp));
    });
    return {
      ...head(g, last, (x) => g.layerNorm(x, 'transformer.ln_f', norm), {
        name: 'lm_head',
        vocabularySize: c.vocab_size,
        tied: c.tie_word_embeddings ? 'transformer.word_embeddings' : undefined,
      }),
      vocabularySize: c.vocab_size,
      contextLength: c.max_position_embeddings,
    };
  },
  gguf: {
    architecture: 'falcon',
    tensors: tensorNames({
      token_embd: 'transformer.word_embeddings',
      output_norm: 'transformer.ln_f',
      output: 'lm_head',
      'blk.#.attn_norm': 'transformer.h.#.input_layernorm',
      'blk.#.attn_norm_2': 'transformer.h.#.ln_attn',
      'blk.#.attn_qkv': 'transformer.h.#.self_attention.query_key_value',
      'blk.#.attn_output': 'transformer.h.#.self_attention.dense',
      'blk.#.ffn_up': 'transformer.h.#.mlp.dense_h_to_4h',
      'blk.#.ffn_down': 'transformer.h.#.mlp.dense_4h_to_h',
    }),
    rowOrder: (name, config) =>
      name.includes('.query_key_value.') ? groupToPartMajor(falconHeads(schema.parse(config))) : undefined,
    config(file) {
      const meta = new GgufMetadata(file, 'falcon');
      const common = commonConfig('falcon', meta);
      const kvHeads = meta.number('attention.head_count_kv') ?? 1;
      const twoNorms = file.has('blk.0.attn_norm_2.weight');
      return {
        ...common,
        ...ropeFromGguf(meta),
        num_kv_heads: kvHeads,
        num_ln_in_parallel_attn: twoNorms ? 2 : 1,
        new_decoder_architecture: twoNorms || kvHeads > 1,
        ffn_hidden_size: common['intermediate_size'],
        layer_norm_epsilon: meta.need('attention.layer_norm_epsilon'),
        bias: file.has('blk.0.attn_qkv.bias'),
      };
    },
  },
});
