import { z } from 'zod';

import { defineArchitecture, type Architecture } from '../architecture.ts';
import { alibiSlopes } from './alibi.ts';
import { commonConfig, GgufMetadata, tensorNames } from './gguf-config.ts';
import { fusedAttention, head, partMajor, plainMlp } from './parts.ts';
import { channels, flag, headsOf, layers, maybe, optional, positive, size } from './schema.ts';

const no = (reason: string) => z.literal(false, reason).nullish();

/** Keys and defaults as in transformers' MptConfig. */
const schema = z.object({
  vocab_size: optional(size, 50_368),
  d_model: optional(channels, 2048),
  n_heads: optional(channels, 16),
  n_layers: optional(layers, 24),
  expansion_ratio: optional(channels, 4),
  max_seq_len: optional(size, 2048),
  layer_norm_epsilon: optional(positive, 1e-5),
  no_bias: z.literal(true, 'biases are not supported').nullish(),
  tie_word_embeddings: flag(true),
  attn_config: optional(
    z.object({
      clip_qkv: maybe(positive),
      softmax_scale: maybe(positive),
      alibi: z.literal(true, 'positions other than ALiBi are not supported').nullish(),
      alibi_bias_max: optional(positive, 8),
      prefix_lm: no('prefix attention is not supported'),
      qk_ln: no('norms on q and k are not supported'),
    }),
    { clip_qkv: undefined, softmax_scale: undefined, alibi_bias_max: 8 },
  ),
});

/** MPT (MosaicML 2023): ALiBi, no biases. */
export const mpt: Architecture = defineArchitecture({
  name: 'mpt',
  modelTypes: ['mpt'],
  schema,
  tied: [['transformer.wte.weight', 'lm_head.weight']],
  forward(g, c) {
    const hiddenSize = c.d_model;
    const heads = headsOf({ hidden_size: hiddenSize, num_attention_heads: c.n_heads });
    const { clip_qkv: clip, softmax_scale: scale, alibi_bias_max: bias } = c.attn_config;
    const part = { ...heads, scale, alibi: alibiSlopes(c.n_heads, bias) };
    const parts = partMajor(heads);
    const norm = { epsilon: c.layer_norm_epsilon, bias: false };
    const mlp = {
      hiddenSize,
      intermediateSize: c.expansion_ratio * hiddenSize,
      activation: 'gelu' as const,
      bias: false,
      up: 'ffn.up_proj',
      down: 'ffn.down_proj',
    } as const;

    const tokens = g.embed(g.tokens(), 'transformer.wte', c.vocab_size, hiddenSize);
    const last = g.blocks('transformer.blocks', c.n_layers, tokens, (x, w, layer) => {
      const qkv = g.linear(g.layerNorm(x, w('norm_1'), norm), w('attn.Wqkv'), 3 * hiddenSize);
      const clipped = clip === undefined ? qkv : g.clamp(qkv, -clip, clip);
      const attended = fusedAttention(g, clipped, parts, { ...part, layer });
      const a = g.add(x, g.linear(attended, w('attn.out_proj'), hiddenSize));
      return g.add(a, plainMlp(g, g.layerNorm(a, w('norm_2'), norm), w, mlp));
    });
    return {
      ...head(g, last, (x) => g.layerNorm(x, 'transformer.norm_f', norm), {
        name: 'lm_head',
        vocabularySize: c.vocab_size,
        tied: c.tie_word_embeddings ? 'transformer.wte' : undefined,
      }),
      vocabularySize: c.vocab_size,
      contextLength: c.max_seq_len,
    };
  },
  gguf: {
    architecture: 'mpt',
    tensors: tensorNames({
      token_embd: 'transformer.wte',
      output_norm: 'transformer.norm_f',
      output: 'lm_head',
      'blk.#.attn_norm': 'transformer.blocks.#.norm_1',
      'blk.#.attn_qkv': 'transformer.blocks.#.attn.Wqkv',
      'blk.#.attn_output': 'transformer.blocks.#.attn.out_proj',
      'blk.#.ffn_norm': 'transformer.blocks.#.norm_2',
      'blk.#.ffn_up': 'transformer.blocks.#.ffn.up_proj',
      'blk.#.ffn_down': 'transformer.blocks.#.ffn.down_proj',
    }),
    config(file) {
      const meta = new GgufMetadata(file, 'mpt');
      const width = meta.need('embedding_length');
      return {
        ...commonConfig('mpt', meta),
        d_model: width,
        n_heads: meta.need('attention.head_count'),
        n_layers: meta.need('block_count'),
        expansion_ratio: meta.need('feed_forward_length') / width,
        max_seq_len: meta.need('context_length'),
        layer_norm_epsilon: meta.need('attention.layer_norm_epsilon'),
        attn_config: {
          clip_qkv: meta.number('attention.clamp_kqv'),
          alibi_bias_max: meta.number('attention.max_alibi_bias'),
        },
      };
    },
  },
});
