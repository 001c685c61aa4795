import { describe, expect, test } from '@jest/globals';

import { InvalidConfigError, UnsupportedArchitectureError } from '../errors.ts';
import { architectureOf, architectureOfGguf, architectures } from './registry.ts';

/** What a call throws. */
function thrown(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return undefined;
}

const llamaConfig = {
  model_type: 'llama',
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  intermediate_size: 96,
  rms_norm_eps: 1e-5,
};

describe('architectureOf', () => {
  test('finds by model_type', () => {
    expect(architectureOf(llamaConfig).name).toBe('llama');
    expect(architectureOf({ model_type: 'gpt_neox' }).name).toBe('gpt-neox');
    expect(architectureOfGguf('gptneox').name).toBe('gpt-neox');
  });

  test('no two architectures claim one model_type or one GGUF name', () => {
    const types = architectures.flatMap(({ modelTypes }) => modelTypes);
    const names = architectures.flatMap(({ name, gguf }) => (gguf && name !== 'mistral' ? [gguf.architecture] : []));
    // The one that is written under the name of another is read as that.
    expect(architectures.find(({ name }) => name === 'mistral')?.gguf?.architecture).toBe('llama');
    expect(architectureOfGguf('llama').name).toBe('llama');
    expect(new Set(types).size).toBe(types.length);
    expect(new Set(names).size).toBe(names.length);
  });

  test('lists what there is when a type is unknown', () => {
    const error = thrown(() => architectureOf({ model_type: 'mamba' }));
    expect(error).toBeInstanceOf(UnsupportedArchitectureError);
    expect(error).toMatchObject({ code: 'UNSUPPORTED_ARCHITECTURE', modelType: 'mamba', differences: undefined });
    expect(String(error)).toMatch(/'mamba'.*llama, .*gpt_neox/);
  });

  test('says what differs in a config that looks like Llama’s', () => {
    const error = thrown(() =>
      architectureOf({ ...llamaConfig, model_type: 'deepseek', n_routed_experts: 64, torch_dtype: 'bfloat16' }),
    );
    expect(error).toMatchObject({ differences: ['n_routed_experts'] });
  });

  test('a config without a type is unknown too', () => {
    expect(() => architectureOf({})).toThrow("'(none)'");
    expect(() => architectureOfGguf('bert')).toThrow(/'bert'.*llama/);
  });
});

describe('configs', () => {
  const architecture = architectureOf(llamaConfig);

  test('have their defaults filled in, null counting as missing', () => {
    expect(architecture.parse({ ...llamaConfig, num_key_value_heads: null })).toMatchObject({
      vocab_size: 32_000,
      hidden_act: 'silu',
    });
  });

  test.each([
    [{ hidden_size: '64' }, 'hidden_size'],
    [{ hidden_size: -1 }, 'hidden_size'],
    [{ num_hidden_layers: 1.5 }, 'num_hidden_layers'],
    [{ hidden_act: 'snake' }, 'hidden_act'],
    [{ rope_scaling: { rope_type: 'llama3', factor: 'x' } }, 'rope_scaling.factor'],
    [{ rope_scaling: { rope_type: 'spiral' } }, 'rope_scaling.rope_type'],
    [{ rope_scaling: { type: 'linear' } }, 'rope_scaling.factor'],
    [{ num_attention_heads: 5 }, 'num_attention_heads'],
    [{ num_key_value_heads: 3 }, 'num_key_value_heads'],
    [{ head_dim: 7 }, 'head_dim'],
    [{ num_hidden_layers: 2_000_000_000 }, 'num_hidden_layers'],
    [{ intermediate_size: 2_000_000_000 }, 'intermediate_size'],
    [{ head_dim: 2 ** 19 }, 'head_dim'],
  ])('%o is refused by its key', (change, key) => {
    const error = thrown(() => architecture.build({ ...llamaConfig, ...change }));
    expect(error).toBeInstanceOf(InvalidConfigError);
    expect(error).toMatchObject({ key });
  });

  test.each([
    { rope_scaling: { type: 'linear', factor: 2 }, rope_theta: 500 },
    { rope_parameters: { rope_type: 'linear', factor: 2, rope_theta: 500 } },
  ])('rotary parameters are read in both of their layouts: %o', (change) => {
    const { graph } = architecture.build({ ...llamaConfig, ...change });
    const rope = graph.nodes.find((node) => node.op === 'rope');
    expect(rope?.attributes).toMatchObject({ theta: 500, scaling: { type: 'linear', factor: 2 } });
  });
});

describe('Gemma 3 with eyes', () => {
  const text = {
    model_type: 'gemma3_text',
    hidden_size: 64,
    num_hidden_layers: 2,
    head_dim: 16,
    vocab_size: 50,
    intermediate_size: 80,
  };

  test('is read by its text part', () => {
    const whole = { model_type: 'gemma3', text_config: text, vision_config: {} };
    expect(architectureOf(whole).build(whole).graph.weightNames).toEqual(
      architectureOf(text).build(text).graph.weightNames,
    );
    expect(architectureOf(whole).aliases('model.layers.0.mlp.up_proj.weight')).toEqual([
      'language_model.model.layers.0.mlp.up_proj.weight',
      'model.language_model.layers.0.mlp.up_proj.weight',
    ]);
  });
});

describe('GGUF row orders', () => {
  test('Llama’s q and k are interleaved inside each head', () => {
    const { gguf } = architectureOf(llamaConfig);
    const config = { ...llamaConfig, head_dim: 4, num_attention_heads: 2 };
    expect([...(gguf?.rowOrder?.('model.layers.0.self_attn.q_proj.weight', config) ?? [])]).toEqual([
      0, 2, 1, 3, 4, 6, 5, 7,
    ]);
    expect(gguf?.rowOrder?.('model.layers.0.self_attn.v_proj.weight', config)).toBeUndefined();
  });

  test('GPT-NeoX’s query_key_value is regrouped', () => {
    const { gguf } = architectureOfGguf('gptneox');
    const config = { hidden_size: 4, num_attention_heads: 2 };
    // [q0 k0 v0 q1 k1 v1] by head in the checkpoint, [q0 q1 k0 k1 v0 v1] in the file; two rows each.
    expect([...(gguf?.rowOrder?.('gpt_neox.layers.3.attention.query_key_value.bias', config) ?? [])]).toEqual([
      0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11,
    ]);
  });
});

describe('other names of a weight', () => {
  test.each([
    ['llama', 'lm_head.weight', ['model.embed_tokens.weight']],
    ['gpt2', 'transformer.wte.weight', ['lm_head.weight', 'wte.weight']],
    ['opt', 'model.decoder.final_layer_norm.bias', ['decoder.final_layer_norm.bias']],
    ['falcon', 'transformer.h.1.ln_mlp.weight', ['transformer.h.1.input_layernorm.weight']],
    ['llama', 'model.norm.weight', []],
  ])('%s: %s', (modelType, name, others) => {
    expect(architectureOf({ model_type: modelType }).aliases(name)).toEqual(others);
  });

  test('only GPT-2 stores matrices the other way round, and not its embeddings', () => {
    const transposed = architectures.filter((architecture) =>
      architecture.isTransposed('transformer.h.0.attn.c_attn.weight'),
    );
    expect(transposed.map(({ name }) => name)).toEqual(['gpt2']);
    expect(transposed[0]?.isTransposed('transformer.wte.weight')).toBe(false);
  });
});
