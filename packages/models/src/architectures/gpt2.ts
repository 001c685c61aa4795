import { z } from 'zod';

import { defineArchitecture, type Architecture, type ForwardPass } from '../architecture.ts';
import type { Builder } from './builder.ts';
import { GgufMetadata, tensorNames } from './gguf-config.ts';
import { gptConfig, gptHeads, gptKeys, gptTensors, type GptKeys } from './gpt-keys.ts';
import { fusedAttention, head, partMajor, plainMlp, type FusedChannels } from './parts.ts';
import { flag, type Heads } from './schema.ts';

/** Keys and defaults as in transformers' GPT2Config. */
const schema = z.object({
  ...gptKeys({
    vocabulary: 50_257,
    positions: 1024,
    width: 768,
    layers: 12,
    heads: 12,
    activation: 'gelu_new',
    tied: true,
  }),
  scale_attn_weights: flag(true),
  scale_attn_by_inverse_layer_idx: flag(false),
});

/** GPT-2's forward pass, for its successors too: learned positions, a fused projection, norms before both halves. */
export function gptForward(
  g: Builder,
  c: GptKeys,
  heads: Heads,
  channels: FusedChannels,
  scale: (layer: number) => number,
): Omit<ForwardPass, 'graph'> {
  const hiddenSize = c.n_embd;
  const norm = { epsilon: c.layer_norm_epsilon };
  const bias = true;
  const fused = (heads.heads + 2 * heads.kvHeads) * heads.headDim;
  const mlp = {
    hiddenSize,
    intermediateSize: c.n_inner ?? 4 * hiddenSize,
    activation: c.activation_function,
    up: 'mlp.c_fc',
    down: 'mlp.c_proj',
  };
  const ids = g.tokens();
  const tokens = g.embed(ids, 'transformer.wte', c.vocab_size, hiddenSize);
  const placed = g.add(tokens, g.positionEmbed(ids, 'transformer.wpe', c.n_positions, hiddenSize));
  const last = g.blocks('transformer.h', c.n_layer, placed, (x, w, layer) => {
    const qkv = g.linear(g.layerNorm(x, w('ln_1'), norm), w('attn.c_attn'), fused, { bias });
    const attended = fusedAttention(g, qkv, channels, { ...heads, layer, scale: scale(layer) });
    const a = g.add(x, g.linear(attended, w('attn.c_proj'), hiddenSize, { bias }));
    return g.add(a, plainMlp(g, g.layerNorm(a, w('ln_2'), norm), w, mlp));
  });
  return {
    ...head(g, last, (x) => g.layerNorm(x, 'transformer.ln_f', norm), {
      name: 'lm_head',
      vocabularySize: c.vocab_size,
      tied: c.tie_word_embeddings ? 'transformer.wte' : undefined,
    }),
    vocabularySize: c.vocab_size,
    contextLength: c.n_positions,
  };
}

/** GPT-2 (Radford et al. 2019). */
export const gpt2: Architecture = defineArchitecture({
  name: 'gpt2',
  modelTypes: ['gpt2'],
  schema,
  tied: [['transformer.wte.weight', 'lm_head.weight']],
  optionalPrefix: 'transformer.',
  isTransposed: (name) => /\.(?:c_attn|c_proj|c_fc)\.weight$/.test(name),
  forward(g, c) {
    const heads = gptHeads(c);
    const base = c.scale_attn_weights ? heads.headDim ** -0.5 : 1;
    const scale = (layer: number): number => (c.scale_attn_by_inverse_layer_idx ? base / (layer + 1) : base);
    return gptForward(g, c, heads, partMajor(heads), scale);
  },
  gguf: {
    architecture: 'gpt2',
    tensors: tensorNames(gptTensors),
    config: (file) => gptConfig('gpt2', new GgufMetadata(file, 'gpt2')),
  },
});
