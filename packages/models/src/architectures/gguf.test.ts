/** A GGUF file with a fixture's metadata and tensors gives the fixture's forward pass. */
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import type { Graph } from '@llm/tensor';

import { readConfig, readTensors } from '../../../../tools/test/plain-safetensors.mjs';
import type { Architecture, GgufFile } from '../architecture.ts';
import { InvalidConfigError } from '../errors.ts';
import { architectureOf, architectureOfGguf } from './registry.ts';

const folder = join(import.meta.dirname, '../../fixtures');

/** The name in the file of a tensor of the checkpoint. */
function fileName({ aliases, gguf }: Architecture, name: string): string | undefined {
  const layer = /\.(\d+)\./.exec(name)?.[1];
  const entries = Object.entries(gguf?.tensors ?? {});
  const found = [name, ...aliases(name)]
    .map((other) => entries.find(([, checkpoint]) => checkpoint === other.replace(/\.\d+\./, '.#.'))?.[0])
    .find((file) => file !== undefined);
  return found?.replace('#', layer ?? '');
}

/** A file with these metadata (keys of the architecture unless they hold a dot at the start) and a fixture's tensors. */
function fileOf(
  architecture: Architecture,
  fixture: string,
  keys: Readonly<Record<string, unknown>>,
  extra: Readonly<Record<string, number[]>>,
): GgufFile {
  const prefix = architecture.gguf?.architecture ?? '';
  const tensors = new Map<string, readonly number[]>(
    Object.entries(extra).map(([name, values]) => [name, [values.length]]),
  );
  for (const [name, { shape }] of readTensors(join(folder, fixture))) {
    const file = fileName(architecture, name);
    if (file === undefined) throw new Error(`no name for ${name}`);
    tensors.set(file, shape);
  }
  return {
    metadata: new Map(Object.entries(keys).map(([key, value]) => [`${prefix}.${key}`, value])),
    has: (tensor) => tensors.has(tensor),
    shape: (tensor) => tensors.get(tensor) ?? [],
    read: (tensor) => Float32Array.from(extra[tensor] ?? []),
  };
}

/** All that matters of a graph. */
const describeGraph = ({ nodes }: Graph): unknown[] =>
  nodes.map(({ op, inputs, attributes, shape, block }) => ({
    op,
    inputs: inputs.map(({ id }) => id),
    attributes,
    shape,
    block,
  }));

const sizes = {
  block_count: 2,
  context_length: 64,
  embedding_length: 64,
  feed_forward_length: 80,
  'attention.head_count': 4,
};
const rms = { ...sizes, 'attention.layer_norm_rms_epsilon': 1e-6 };
const centred = { ...sizes, 'attention.layer_norm_epsilon': 1e-5 };

const cases: readonly (readonly [
  fixture: string,
  keys: Readonly<Record<string, unknown>>,
  extra?: Readonly<Record<string, number[]>>,
])[] = [
  [
    'llama-linear',
    {
      ...rms,
      'rope.dimension_count': 16,
      'rope.freq_base': 10_000,
      'rope.scaling.type': 'linear',
      'rope.scaling.factor': 2,
    },
  ],
  ['qwen3', { ...rms, 'attention.head_count_kv': 2, 'attention.key_length': 24, 'rope.freq_base': 10_000 }],
  [
    'gemma2',
    {
      ...rms,
      'attention.head_count_kv': 2,
      'attention.key_length': 20,
      'attention.sliding_window': 5,
      attn_logit_softcapping: 2,
      final_logit_softcapping: 3,
    },
  ],
  ['gpt-neox', { ...centred, 'rope.dimension_count': 4, use_parallel_residual: true }],
  ['gptj', { ...centred, 'rope.dimension_count': 8 }],
  ['gpt2', centred],
  ['gpt-bigcode', { ...centred, 'attention.head_count_kv': 1 }],
  ['falcon-7b', { ...centred, 'attention.head_count_kv': 1 }],
  ['falcon-40b', { ...centred, 'attention.head_count_kv': 2 }],
  [
    'stablelm-parallel',
    { ...centred, 'attention.head_count_kv': 2, 'rope.dimension_count': 8, use_parallel_residual: true },
  ],
  [
    'mpt',
    {
      ...centred,
      embedding_length: 48,
      feed_forward_length: 192,
      'attention.clamp_kqv': 1.5,
      'attention.max_alibi_bias': 8,
    },
  ],
  [
    'phi3-longrope',
    {
      ...rms,
      'attention.head_count_kv': 2,
      'attention.layer_norm_rms_epsilon': 1e-5,
      'rope.dimension_count': 12,
      'rope.freq_base': 10_000,
      'rope.scaling.original_context_length': 16,
    },
    {
      'rope_factors_short.weight': [1, 1.5, 2, 2.5, 3, 3.5],
      'rope_factors_long.weight': [2, 2.5, 3, 3.5, 4, 4.5],
    },
  ],
];

/** What the files cannot say, or the fixture has otherwise than any file. */
const changes: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  gemma2: { head_dim: 24, query_pre_attn_scalar: 20 },
  mpt: { attn_config: { clip_qkv: 1.5 } },
  'phi3-longrope': {
    rope_parameters: {
      rope_type: 'longrope',
      rope_theta: 10_000,
      partial_rotary_factor: 0.75,
      short_factor: [1, 1.5, 2, 2.5, 3, 3.5],
      long_factor: [2, 2.5, 3, 3.5, 4, 4.5],
    },
  },
};

describe('metadata of GGUF files', () => {
  test.each(cases)('%s', (fixture, keys, extra = {}) => {
    const config = { ...readConfig(join(folder, fixture)), ...changes[fixture] };
    const architecture = architectureOf(config);
    const made = architecture.gguf?.config(fileOf(architecture, fixture, keys, extra)) ?? {};
    const { graph } = architecture.build(fixture === 'gemma2' ? { ...made, head_dim: 24 } : made);
    expect(describeGraph(graph)).toEqual(describeGraph(architecture.build(config).graph));
    expect(architectureOf(made)).toBe(architecture);
  });

  test('a missing key is named', () => {
    const { gguf } = architectureOfGguf('llama');
    const empty: GgufFile = { metadata: new Map(), has: () => false, shape: () => [], read: () => new Float32Array() };
    expect(() => gguf?.config(empty)).toThrow(InvalidConfigError);
    expect(() => gguf?.config(empty)).toThrow('llama.embedding_length: is missing');
  });

  test('norms of Gemma are stored with 1 added', () => {
    const { gguf } = architectureOfGguf('gemma2');
    expect(gguf?.offset?.('model.layers.0.input_layernorm.weight')).toBe(1);
    expect(gguf?.offset?.('model.layers.0.mlp.up_proj.weight')).toBe(0);
  });
});
