import type { Node } from '@llm/tensor';
import { z } from 'zod';

import { defineArchitecture, type Architecture, type GgufMapping, type HfConfig } from '../architecture.ts';
import { commonConfig, GgufMetadata, ropeFromGguf, tensorNames } from './gguf-config.ts';
import { ropeKeys, ropeOf } from './rope-config.ts';
import { activation, flag, headsOf, maybe, optional, positive, size } from './schema.ts';

/** Keys and defaults as in transformers' GPTNeoXConfig. */
const schema = z.object({
  ...ropeKeys,
  vocab_size: optional(size, 50_432),
  hidden_size: optional(size, 6144),
  intermediate_size: optional(size, 24_576),
  num_hidden_layers: optional(size, 44),
  num_attention_heads: optional(size, 64),
  hidden_act: activation('gelu'),
  rotary_pct: maybe(positive),
  rotary_emb_base: maybe(positive),
  layer_norm_eps: optional(positive, 1e-5),
  max_position_embeddings: optional(size, 2048),
  use_parallel_residual: flag(true),
  attention_bias: flag(true),
  tie_word_embeddings: flag(false),
});

const stems = {
  token_embd: 'gpt_neox.embed_in',
  output_norm: 'gpt_neox.final_layer_norm',
  output: 'embed_out',
  'blk.#.attn_norm': 'gpt_neox.layers.#.input_layernorm',
  'blk.#.attn_qkv': 'gpt_neox.layers.#.attention.query_key_value',
  'blk.#.attn_output': 'gpt_neox.layers.#.attention.dense',
  'blk.#.ffn_norm': 'gpt_neox.layers.#.post_attention_layernorm',
  'blk.#.ffn_up': 'gpt_neox.layers.#.mlp.dense_h_to_4h',
  'blk.#.ffn_down': 'gpt_neox.layers.#.mlp.dense_4h_to_h',
} as const;

/** Channels of q, k or v in query_key_value, whose rows are head by head q, then k, then v. */
function headMajor(heads: number, headDim: number, part: number): number[] {
  return Array.from(
    { length: heads * headDim },
    (_, i) => (Math.floor(i / headDim) * 3 + part) * headDim + (i % headDim),
  );
}

const gguf: GgufMapping = {
  architecture: 'gptneox',
  tensors: tensorNames(
    stems,
    Object.keys(stems).filter((stem) => stem !== 'token_embd' && stem !== 'output'),
  ),
  // Files have all of q, then all of k, then all of v.
  rowOrder(name, config) {
    if (!/attention\.query_key_value\.(?:weight|bias)$/.test(name)) return undefined;
    const c = schema.parse(config);
    const { headDim } = headsOf(c);
    const order = new Int32Array(3 * c.hidden_size);
    for (let part = 0; part < 3; part++) {
      headMajor(c.num_attention_heads, headDim, part).forEach((row, i) => {
        order[row] = part * c.hidden_size + i;
      });
    }
    return order;
  },
  config(file): HfConfig {
    const meta = new GgufMetadata(file, 'gptneox');
    const common = commonConfig('gpt_neox', meta);
    const headDim = meta.need('embedding_length') / meta.need('attention.head_count');
    return {
      ...common,
      ...ropeFromGguf(meta),
      rotary_pct: meta.need('rope.dimension_count') / headDim,
      layer_norm_eps: meta.need('attention.layer_norm_epsilon'),
      use_parallel_residual: meta.flag('use_parallel_residual'),
      attention_bias: file.has('blk.0.attn_qkv.bias'),
    };
  },
};

/** GPT-NeoX-20B, Pythia, Dolly v2, RedPajama, StableLM alpha (Black et al. 2022). */
export const gptNeoX: Architecture = defineArchitecture({
  name: 'gpt-neox',
  modelTypes: ['gpt_neox'],
  schema,
  tied: [['gpt_neox.embed_in.weight', 'embed_out.weight']],
  gguf,
  forward(g, c) {
    const { heads, headDim } = headsOf(c);
    const hiddenSize = c.hidden_size;
    const rope = ropeOf(c, { headDim, theta: c.rotary_emb_base ?? 10_000, partialRotaryFactor: c.rotary_pct ?? 0.25 });
    const norm = { epsilon: c.layer_norm_eps };
    const bias = c.attention_bias;

    const tokens = g.embed(g.tokens(), 'gpt_neox.embed_in', c.vocab_size, hiddenSize);
    const last = g.blocks('gpt_neox.layers', c.num_hidden_layers, tokens, (x, w, layer) => {
      const qkv = g.linear(g.layerNorm(x, w('input_layernorm'), norm), w('attention.query_key_value'), 3 * hiddenSize, {
        bias,
      });
      const q = g.rope(g.take(qkv, headMajor(heads, headDim, 0)), rope);
      const k = g.rope(g.take(qkv, headMajor(heads, headDim, 1)), rope);
      const v = g.take(qkv, headMajor(heads, headDim, 2));
      const attended = g.attention(q, k, v, { heads, kvHeads: heads, headDim, layer, scale: headDim ** -0.5 });
      const attention = g.linear(attended, w('attention.dense'), hiddenSize, { bias });
      const mlp = (y: Node): Node => {
        const up = g.linear(
          g.layerNorm(y, w('post_attention_layernorm'), norm),
          w('mlp.dense_h_to_4h'),
          c.intermediate_size,
          { bias: true },
        );
        return g.linear(g.activation(c.hidden_act, up), w('mlp.dense_4h_to_h'), hiddenSize, { bias: true });
      };
      if (c.use_parallel_residual) return g.add(g.add(x, attention), mlp(x));
      const a = g.add(x, attention);
      return g.add(a, mlp(a));
    });
    const hidden = g.layerNorm(g.lastTokens(last), 'gpt_neox.final_layer_norm', norm);
    const logits = g.linear(
      hidden,
      'embed_out',
      c.vocab_size,
      c.tie_word_embeddings ? { weight: 'gpt_neox.embed_in.weight' } : {},
    );
    return { logits, hidden, vocabularySize: c.vocab_size, contextLength: c.max_position_embeddings };
  },
});
