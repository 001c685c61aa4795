import { z } from 'zod';

import { defineArchitecture, type Architecture } from '../architecture.ts';
import { GgufMetadata, tensorNames } from './gguf-config.ts';
import { gptConfig, gptHeads, gptKeys } from './gpt-keys.ts';
import { head, plainMlp, separateAttention } from './parts.ts';
import { channels, optional } from './schema.ts';

/** Keys and defaults as in transformers' GPTJConfig. */
const schema = z.object({
  ...gptKeys({
    vocabulary: 50_400,
    positions: 2048,
    width: 4096,
    layers: 28,
    heads: 16,
    activation: 'gelu_new',
    tied: false,
  }),
  rotary_dim: optional(channels, 64),
});

/** GPT-J (Wang and Komatsuzaki 2021): attention and mlp side by side under one norm, neighbours rotated. */
export const gptJ: Architecture = defineArchitecture({
  name: 'gptj',
  modelTypes: ['gptj'],
  schema,
  tied: [['transformer.wte.weight', 'lm_head.weight']],
  forward(g, c) {
    const heads = gptHeads(c);
    const hiddenSize = c.n_embd;
    const norm = { epsilon: c.layer_norm_epsilon };
    const rope = { headDim: heads.headDim, rotaryDim: c.rotary_dim, theta: 10_000, style: 'interleaved' } as const;
    const part = { ...heads, hiddenSize, rope, path: 'attn', output: 'out_proj' };
    const mlp = {
      hiddenSize,
      intermediateSize: c.n_inner ?? 4 * hiddenSize,
      activation: c.activation_function,
      up: 'mlp.fc_in',
      down: 'mlp.fc_out',
    };
    const tokens = g.embed(g.tokens(), 'transformer.wte', c.vocab_size, hiddenSize);
    const last = g.blocks('transformer.h', c.n_layer, tokens, (x, w, layer) => {
      const h = g.layerNorm(x, w('ln_1'), norm);
      return g.add(g.add(x, separateAttention(g, h, w, { ...part, layer })), plainMlp(g, h, w, mlp));
    });
    return {
      ...head(g, last, (x) => g.layerNorm(x, 'transformer.ln_f', norm), {
        name: 'lm_head',
        vocabularySize: c.vocab_size,
        tied: c.tie_word_embeddings ? 'transformer.wte' : undefined,
        bias: true,
      }),
      vocabularySize: c.vocab_size,
      contextLength: c.n_positions,
    };
  },
  gguf: {
    architecture: 'gptj',
    tensors: tensorNames({
      token_embd: 'transformer.wte',
      output_norm: 'transformer.ln_f',
      output: 'lm_head',
      'blk.#.attn_norm': 'transformer.h.#.ln_1',
      'blk.#.attn_q': 'transformer.h.#.attn.q_proj',
      'blk.#.attn_k': 'transformer.h.#.attn.k_proj',
      'blk.#.attn_v': 'transformer.h.#.attn.v_proj',
      'blk.#.attn_output': 'transformer.h.#.attn.out_proj',
      'blk.#.ffn_up': 'transformer.h.#.mlp.fc_in',
      'blk.#.ffn_down': 'transformer.h.#.mlp.fc_out',
    }),
    config(file) {
      const meta = new GgufMetadata(file, 'gptj');
      return { ...gptConfig('gptj', meta), rotary_dim: meta.number('rope.dimension_count') };
    },
  },
});
