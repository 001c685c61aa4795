import { z } from 'zod';

import { defineArchitecture, type Architecture } from '../architecture.ts';
import { GgufMetadata, tensorNames } from './gguf-config.ts';
import { gptConfig, gptHeads, gptKeys, gptTensors } from './gpt-keys.ts';
import { gptForward } from './gpt2.ts';
import { groupMajor, groupToPartMajor, partMajor } from './parts.ts';
import { flag } from './schema.ts';

/** Keys and defaults as in transformers' GPTBigCodeConfig. */
const schema = z.object({
  ...gptKeys({
    vocabulary: 50_257,
    positions: 1024,
    width: 768,
    layers: 12,
    heads: 12,
    activation: 'gelu_pytorch_tanh',
    tied: true,
  }),
  scale_attn_weights: flag(true),
  multi_query: flag(true),
});

/** SantaCoder and StarCoder (Li et al. 2023): GPT-2 whose heads share one key and value. */
export const gptBigCode: Architecture = defineArchitecture({
  name: 'gpt-bigcode',
  modelTypes: ['gpt_bigcode'],
  schema,
  tied: [['transformer.wte.weight', 'lm_head.weight']],
  optionalPrefix: 'transformer.',
  forward(g, c) {
    const heads = gptHeads(c, c.multi_query ? 1 : c.n_head);
    const channels = c.multi_query ? partMajor(heads) : groupMajor(heads);
    const scale = c.scale_attn_weights ? heads.headDim ** -0.5 : 1;
    return gptForward(g, c, heads, channels, () => scale);
  },
  gguf: {
    architecture: 'starcoder',
    tensors: tensorNames(gptTensors),
    rowOrder(name, config) {
      const { multi_query, ...keys } = schema.parse(config);
      return name.includes('.c_attn.') && !multi_query ? groupToPartMajor(gptHeads(keys)) : undefined;
    },
    config(file) {
      const meta = new GgufMetadata(file, 'starcoder');
      return { ...gptConfig('gpt_bigcode', meta), multi_query: meta.number('attention.head_count_kv') === 1 };
    },
  },
});
