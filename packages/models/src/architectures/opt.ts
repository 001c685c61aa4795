import type { Node } from '@llm/tensor';
import { z } from 'zod';

import { defineArchitecture, type Architecture } from '../architecture.ts';
import { head, plainMlp, separateAttention } from './parts.ts';
import { activation, channels, flag, headsOf, layers, maybe, optional, size } from './schema.ts';

/** Keys and defaults as in transformers' OPTConfig. */
const schema = z.object({
  vocab_size: optional(size, 50_272),
  hidden_size: optional(channels, 768),
  num_hidden_layers: optional(layers, 12),
  num_attention_heads: optional(channels, 12),
  ffn_dim: optional(channels, 3072),
  max_position_embeddings: optional(size, 2048),
  activation_function: activation('relu'),
  do_layer_norm_before: flag(true),
  _remove_final_layer_norm: flag(false),
  word_embed_proj_dim: maybe(channels),
  enable_bias: flag(true),
  layer_norm_elementwise_affine: z.literal(true, 'norms without weights are not supported').nullish(),
  tie_word_embeddings: flag(true),
});

/** The first two rows of the table of positions are not positions. */
const positionOffset = 2;

/** OPT (Zhang et al. 2022), the 350m with its norms after each half and its narrow embeddings included. */
export const opt: Architecture = defineArchitecture({
  name: 'opt',
  modelTypes: ['opt'],
  schema,
  tied: [['model.decoder.embed_tokens.weight', 'lm_head.weight']],
  optionalPrefix: 'model.',
  forward(g, c) {
    const heads = headsOf(c);
    const hiddenSize = c.hidden_size;
    const embedded = c.word_embed_proj_dim ?? hiddenSize;
    const norm = { epsilon: 1e-5 };
    const bias = c.enable_bias;
    const part = { ...heads, hiddenSize, bias, outputBias: bias, output: 'out_proj' };
    const mlp = {
      hiddenSize,
      intermediateSize: c.ffn_dim,
      activation: c.activation_function,
      bias,
      up: 'fc1',
      down: 'fc2',
    };
    /** A half of the block with its norm before or after. */
    const half = (x: Node, name: string, build: (y: Node) => Node): Node =>
      c.do_layer_norm_before
        ? g.add(x, build(g.layerNorm(x, name, norm)))
        : g.layerNorm(g.add(x, build(x)), name, norm);

    const ids = g.tokens();
    const narrow = g.embed(ids, 'model.decoder.embed_tokens', c.vocab_size, embedded);
    const tokens = embedded === hiddenSize ? narrow : g.linear(narrow, 'model.decoder.project_in', hiddenSize);
    const rows = c.max_position_embeddings + positionOffset;
    const placed = g.add(
      tokens,
      g.positionEmbed(ids, 'model.decoder.embed_positions', rows, hiddenSize, positionOffset),
    );
    const last = g.blocks('model.decoder.layers', c.num_hidden_layers, placed, (x, w, layer) => {
      const a = half(x, w('self_attn_layer_norm'), (y) => separateAttention(g, y, w, { ...part, layer }));
      return half(a, w('final_layer_norm'), (y) => plainMlp(g, y, w, mlp));
    });
    const finish = (x: Node): Node => {
      const normalised =
        c.do_layer_norm_before && !c._remove_final_layer_norm
          ? g.layerNorm(x, 'model.decoder.final_layer_norm', norm)
          : x;
      return embedded === hiddenSize ? normalised : g.linear(normalised, 'model.decoder.project_out', embedded);
    };
    return {
      ...head(g, last, finish, {
        name: 'lm_head',
        vocabularySize: c.vocab_size,
        tied: c.tie_word_embeddings ? 'model.decoder.embed_tokens' : undefined,
      }),
      vocabularySize: c.vocab_size,
      contextLength: c.max_position_embeddings,
    };
  },
});
