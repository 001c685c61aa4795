import { InvalidOptionError } from '@llm/tensor';

/** Configs, as in config.json, of published models: for measuring speed on random weights. */
export const shapes: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'smollm2-135m': llama(576, 1536, 30, 9, 3, 49152, { tie_word_embeddings: true, rope_theta: 100000 }),
  'tinyllama-1.1b': llama(2048, 5632, 22, 32, 4, 32000),
  'llama-3.2-1b': llama(2048, 8192, 16, 32, 8, 128256, { tie_word_embeddings: true, head_dim: 64, rope_theta: 500000 }),
  'llama-2-7b': llama(4096, 11008, 32, 32, 32, 32000),
  'pythia-160m': neox(768, 3072, 12, 12, 50304),
  'gpt-neox-20b': neox(6144, 24576, 44, 64, 50432),
  'gpt-j-6b': { model_type: 'gptj', vocab_size: 50400, n_embd: 4096, n_layer: 28, n_head: 16, rotary_dim: 64 },
  'falcon-7b': {
    model_type: 'falcon',
    vocab_size: 65024,
    hidden_size: 4544,
    num_hidden_layers: 32,
    num_attention_heads: 71,
    multi_query: true,
    parallel_attn: true,
  },
};

/** @throws InvalidOptionError that lists the names */
export function shapeNamed(name: string): Readonly<Record<string, unknown>> {
  const shape = shapes[name];
  if (!shape) throw new InvalidOptionError('synthetic', name, Object.keys(shapes));
  return shape;
}

function llama(
  hidden: number,
  intermediate: number,
  layers: number,
  heads: number,
  kvHeads: number,
  vocabulary: number,
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    model_type: 'llama',
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    vocab_size: vocabulary,
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
    ...more,
  };
}

function neox(
  hidden: number,
  intermediate: number,
  layers: number,
  heads: number,
  vocabulary: number,
): Record<string, unknown> {
  return {
    model_type: 'gpt_neox',
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    vocab_size: vocabulary,
    max_position_embeddings: 2048,
    rotary_pct: 0.25,
    layer_norm_eps: 1e-5,
    use_parallel_residual: true,
  };
}
