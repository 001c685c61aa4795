import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { architectureOf, writeSafetensors } from '@llm/models';
import { randomSource } from '../random.ts';

const llama = {
  model_type: 'llama',
  hidden_size: 64,
  intermediate_size: 104,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 90,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: false,
  eos_token_id: 1,
};

const neox = {
  model_type: 'gpt_neox',
  hidden_size: 64,
  intermediate_size: 104,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  vocab_size: 90,
  max_position_embeddings: 64,
  layer_norm_eps: 1e-5,
  rotary_pct: 0.25,
  use_parallel_residual: true,
  hidden_act: 'gelu',
  tie_word_embeddings: false,
  eos_token_id: 1,
};

/** A weight on its way into a model. */
export interface TinyWeight {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** Writes a model of two small random blocks whose inputs have channels of different sizes, as trained ones have. */
export async function writeTinyModel(
  folder: string,
  kind: 'llama' | 'neox' = 'llama',
  changes: object = {},
  changeWeight?: (weight: TinyWeight) => void,
): Promise<void> {
  const config = { ...(kind === 'llama' ? llama : neox), ...changes };
  const { graph } = architectureOf(config).build(config);
  const random = randomSource(7);
  await mkdir(folder, { recursive: true });
  const entries = graph.nodes.flatMap((node) => {
    if (node.op !== 'weight') return [];
    const { name, shape } = node.attributes;
    const count = shape.reduce((product, dimension) => product * dimension, 1);
    const [norm, bias] = [name.includes('norm'), name.endsWith('bias')];
    const values = Float32Array.from({ length: count }, () => {
      const normal = random() + random() + random() + random() - 2;
      if (norm && !bias) return 1 + 8 * Math.max(0, normal) ** 3;
      return bias ? 0.1 * normal : normal / 6;
    });
    changeWeight?.({ name, shape, values });
    return [{ name, dtype: 'F32' as const, shape, data: () => new Uint8Array(values.buffer) }];
  });
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  await writeSafetensors(join(folder, 'model.safetensors'), entries);
}
