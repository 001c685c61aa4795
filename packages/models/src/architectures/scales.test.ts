/** What quantizers learn from the graphs: the order of the linears, and the exchanges of scales that change nothing. */
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import {
  equivalentScales,
  evaluate,
  exchangeScales,
  linearsByInput,
  tensor,
  type Node,
  type NodeOf,
  type Tensor,
} from '@llm/tensor';

import { relativeError } from '../../../../tools/test/compare.mjs';
import { readConfig, readWeights } from '../../../../tools/test/plain-safetensors.mjs';
import { architectureOf } from './registry.ts';

const folder = join(import.meta.dirname, '../../fixtures');

/** `q_proj` of `model.layers.0.self_attn.q_proj`. */
const short = (name: string): string => name.split('.').at(-1) ?? name;
const absorberName = ({ inputs: [, weight] }: { readonly inputs: readonly Node[] }): string =>
  weight?.op === 'weight' ? short(weight.attributes.name.replace(/\.weight$/, '')) : '';

const shortNames = (linears: readonly NodeOf<'linear'>[]): string =>
  linears.map((linear) => short(linear.attributes.name)).join('+');

const llamaOrder = 'q_proj+k_proj+v_proj, o_proj, gate_proj+up_proj, down_proj';

/** Of Llama's shape, with so many factors shared between values and the output projection. */
const llamaExchanges = (values: number, secondNorm = 'post_attention_layernorm'): readonly string[] => [
  'input_layernorm -> q_proj+k_proj+v_proj [64]',
  `v_proj -> o_proj [${values}]`,
  `${secondNorm} -> gate_proj+up_proj [64]`,
  'up_proj -> down_proj [80]',
];

/** Of block 0: the order of linears, and `absorber -> linears [factors]`. */
const facts: Readonly<Record<string, readonly [order: string, exchanges: readonly string[]]>> = {
  llama: [llamaOrder, llamaExchanges(48)],
  'llama-linear': [llamaOrder, llamaExchanges(64)],
  mistral: [llamaOrder, llamaExchanges(48)],
  qwen2: [llamaOrder, llamaExchanges(32)],
  qwen3: [llamaOrder, llamaExchanges(48)],
  smollm3: [llamaOrder, llamaExchanges(32)],
  stablelm: [llamaOrder, llamaExchanges(64)],
  'stablelm-parallel': [
    'q_proj+k_proj+v_proj+gate_proj+up_proj, o_proj, down_proj',
    [
      'input_layernorm -> q_proj+k_proj+v_proj+gate_proj+up_proj [64]',
      'v_proj -> o_proj [32]',
      'up_proj -> down_proj [80]',
    ],
  ],
  gemma2: [llamaOrder, llamaExchanges(48, 'pre_feedforward_layernorm')],
  gemma3: [llamaOrder, llamaExchanges(48, 'pre_feedforward_layernorm')],
  phi3: [
    'qkv_proj, o_proj, gate_up_proj, down_proj',
    [
      'input_layernorm -> qkv_proj [64]',
      'qkv_proj -> o_proj [32]',
      'post_attention_layernorm -> gate_up_proj [64]',
      'gate_up_proj -> down_proj [80]',
    ],
  ],
  // Nothing passes through gelu.
  'gpt-neox': [
    'query_key_value, dense, dense_h_to_4h, dense_4h_to_h',
    [
      'input_layernorm -> query_key_value [64]',
      'query_key_value -> dense [64]',
      'post_attention_layernorm -> dense_h_to_4h [64]',
    ],
  ],
  gptj: [
    'q_proj+k_proj+v_proj+fc_in, out_proj, fc_out',
    ['ln_1 -> q_proj+k_proj+v_proj+fc_in [64]', 'v_proj -> out_proj [64]'],
  ],
  'falcon-7b': [
    'query_key_value+dense_h_to_4h, dense, dense_4h_to_h',
    ['input_layernorm -> query_key_value+dense_h_to_4h [64]', 'query_key_value -> dense [16]'],
  ],
  'falcon-40b': [
    'query_key_value, dense, dense_h_to_4h, dense_4h_to_h',
    ['ln_attn -> query_key_value [64]', 'query_key_value -> dense [32]', 'ln_mlp -> dense_h_to_4h [64]'],
  ],
  // Nor through clipping.
  mpt: ['Wqkv, out_proj, up_proj, down_proj', ['norm_1 -> Wqkv [48]', 'norm_2 -> up_proj [48]']],
  'mpt-odd-heads': [
    'Wqkv, out_proj, up_proj, down_proj',
    ['norm_1 -> Wqkv [48]', 'Wqkv -> out_proj [48]', 'norm_2 -> up_proj [48]'],
  ],
  opt: [
    'q_proj+k_proj+v_proj, out_proj, fc1, fc2',
    [
      'self_attn_layer_norm -> q_proj+k_proj+v_proj [64]',
      'v_proj -> out_proj [64]',
      'final_layer_norm -> fc1 [64]',
      'fc1 -> fc2 [80]',
    ],
  ],
  // Its norms feed the residual stream as well.
  'opt-350m': ['q_proj+k_proj+v_proj, out_proj, fc1, fc2', ['v_proj -> out_proj [64]', 'fc1 -> fc2 [80]']],
  'gpt-bigcode': [
    'c_attn, c_proj, c_fc, c_proj',
    ['ln_1 -> c_attn [64]', 'c_attn -> c_proj [16]', 'ln_2 -> c_fc [64]'],
  ],
  gpt2: ['c_attn, c_proj, c_fc, c_proj', ['ln_1 -> c_attn [64]', 'c_attn -> c_proj [64]', 'ln_2 -> c_fc [64]']],
};

/** Linears behind GELU, which take part once their input is scaled. */
const behindActivations: Readonly<Record<string, string>> = {
  'gpt-neox': 'dense_4h_to_h',
  gptj: 'fc_out',
  'falcon-7b': 'dense_4h_to_h',
  mpt: 'down_proj',
  gpt2: 'c_proj',
};

test.each(Object.entries(behindActivations))('%s: a scaled input of %s takes up the factors', (name, linear) => {
  const model = join(folder, name);
  const config = readConfig(model);
  const architecture = architectureOf(config);
  const plain = architecture.build(config);
  const input_scales = plain.graph.nodes.flatMap((node) =>
    node.op === 'linear' && short(node.attributes.name) === linear && node.inputs[0]?.op.startsWith('gelu')
      ? [node.attributes.name]
      : [],
  );
  expect(input_scales).toHaveLength(plain.graph.blocks);
  const { graph, logits } = architecture.build({ ...config, quantization_config: { input_scales } });
  const exchanges = equivalentScales(graph).filter(({ absorber }) => absorber.op === 'mul');
  expect(exchanges.flatMap(({ linears }) => linears.map(({ attributes }) => attributes.name))).toEqual(input_scales);

  const read = readWeights(model, architecture);
  const weights = (weight: string): Tensor => {
    if (!weight.endsWith('.input_scale')) return tensor(read(weight).shape, Float64Array.from(read(weight).data));
    const length = exchanges[0]?.columns.length ?? 0;
    return tensor([length], new Float64Array(length).fill(1));
  };
  const changed = new Map<string, Tensor>();
  for (const exchange of exchanges)
    for (const [weight, value] of exchangeScales(
      exchange,
      Array.from({ length: exchange.factors }, (_, i) => 0.5 + 3 * Math.abs(Math.sin(1.7 * i))),
      weights,
    ))
      changed.set(weight, value);
  expect(changed.size).toBe(2 * exchanges.length);
  const tokens = [5, 93, 17, 4, 60, 60, 8, 31];
  const before = evaluate(plain.graph, tokens, weights).get(plain.logits)?.data ?? [];
  const after = evaluate(graph, tokens, (weight) => changed.get(weight) ?? weights(weight)).get(logits)?.data ?? [];
  expect(relativeError(after, before)).toBeLessThan(1e-12);
});

test('a config that scales the input of a linear which is not there is refused', () => {
  const config = readConfig(join(folder, 'gpt-neox'));
  const build = (input_scales: unknown): unknown =>
    architectureOf(config).build({ ...config, quantization_config: { input_scales } });
  expect(() => build(['gpt_neox.layers.0.mlp.up'])).toThrow('the model has no linear gpt_neox.layers.0.mlp.up');
  expect(() => build('all')).toThrow('quantization_config.input_scales');
});

describe.each(Object.keys(facts))('%s', (name) => {
  const model = join(folder, name);
  const config = readConfig(model);
  const architecture = architectureOf(config);
  const { graph, logits } = architecture.build(config);
  const [order, exchanges] = facts[name] ?? ['', []];

  test('has the linears and exchanges that it should', () => {
    const groups = linearsByInput(graph).filter(({ block }) => block === 0);
    expect(groups.map(({ linears }) => shortNames(linears)).join(', ')).toBe(order);
    const found = equivalentScales(graph).filter(({ block }) => block === 0);
    expect(
      found.map(({ absorber, linears, factors }) => `${absorberName(absorber)} -> ${shortNames(linears)} [${factors}]`),
    ).toEqual(exchanges);
  });

  test('computes the same once every exchange is carried out', () => {
    const read = readWeights(model, architecture);
    const original = new Map<string, Tensor>();
    const weights = (weight: string): Tensor => {
      const known = original.get(weight);
      if (known) return known;
      const { shape, data } = read(weight);
      const made = tensor(shape, Float64Array.from(data));
      original.set(weight, made);
      return made;
    };
    const changed = new Map<string, Tensor>();
    const current = (weight: string): Tensor => changed.get(weight) ?? weights(weight);
    equivalentScales(graph).forEach((exchange, seed) => {
      const factors = Array.from({ length: exchange.factors }, (_, i) => 0.5 + 3 * Math.abs(Math.sin(seed + 1.7 * i)));
      for (const [weight, value] of exchangeScales(exchange, factors, current)) changed.set(weight, value);
    });
    expect(changed.size).toBeGreaterThan(0);
    const tokens = [5, 93, 17, 4, 60, 60, 8, 31];
    const before = evaluate(graph, tokens, weights).get(logits)?.data ?? [];
    const after = evaluate(graph, tokens, current).get(logits)?.data ?? [];
    expect(relativeError(after, before)).toBeLessThan(1e-12);
  });
});
