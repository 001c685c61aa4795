import { describe, expect, test } from '@jest/globals';
import { architectureOf, type ForwardPass, type HfConfig } from '@llm/models';
import {
  evaluate,
  Graph,
  Matrix,
  Program,
  tensor,
  width,
  type LinearCompute,
  type Node,
  type Tensor,
} from '@llm/tensor';

import { compile, planProgram, type Results } from './compile.ts';
import type { RowRange, WeightFormat, Weights } from './weights.ts';

const tokens = [3, 1, 4, 1, 5, 9, 2, 6];

const tiny = {
  vocab_size: 12,
  hidden_size: 24,
  intermediate_size: 40,
  num_attention_heads: 4,
  max_position_embeddings: 16,
};
const llama = { ...tiny, model_type: 'llama', num_hidden_layers: 2, num_key_value_heads: 2 };
const neox = { ...tiny, model_type: 'gpt_neox', num_hidden_layers: 2, rotary_pct: 0.7 };

function pass(config: HfConfig): ForwardPass {
  return architectureOf(config).build(config);
}

/** Reproducible weights of a graph, as tensors for the reference and as matrices for the program. */
function randomWeights(graph: Graph): { tensors: (name: string) => Tensor; weights: Weights } {
  let state = 1;
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  const tensors = new Map<string, Tensor>();
  for (const node of graph.nodes) {
    if (node.op !== 'weight') continue;
    const { name, shape } = node.attributes;
    const size = shape.reduce((product, dimension) => product * dimension, 1);
    tensors.set(name, tensor(shape, Float32Array.from({ length: size }, random)));
  }
  const find = (name: string): Tensor => tensors.get(name) ?? tensor([0], new Float32Array(0));
  const matrix = (name: string, rows?: RowRange): Matrix => {
    const { shape, data } = find(name);
    const whole = Matrix.fromFloat32(Float32Array.from(data), shape[0] ?? 0, shape[1] ?? 0);
    return rows ? whole.rowRange(rows.begin, rows.end) : whole;
  };
  return {
    tensors: find,
    weights: {
      format: (name) => ({
        format: 'f32',
        rows: find(name).shape[0] ?? 0,
        columns: find(name).shape[1] ?? 0,
        groupSize: undefined,
      }),
      matrix,
      vector: (name) => Float32Array.from(find(name).data),
    },
  };
}

const options = {
  maxTokens: 8,
  contextLength: 16,
  compute: 'int8',
  cache: { type: 'f32', blockTokens: 64, blocks: 1 },
} as const;

const down = (layer: number): string => `gpt_neox.layers.${layer}.mlp.dense_4h_to_h`;
const dense = 'gpt_neox.layers.1.attention.dense';
const inputScales = (...names: string[]): HfConfig => ({ quantization_config: { input_scales: names } });

async function expectSame(results: Results): Promise<void> {
  const { graph, logits, hidden } = results;
  const { tensors, weights } = randomWeights(graph);
  const outputs = [2, 7];
  const program = compile(results, weights, options);
  const expected = evaluate(
    graph,
    tokens,
    (name) => {
      const { shape, data } = tensors(name);
      return tensor(shape, Float64Array.from(data));
    },
    { outputs },
  );
  await using native = new Program(program, { threads: 1 });
  for (const node of [logits, hidden]) {
    using sequence = native.createSequence();
    const values = await native.forward(sequence, Int32Array.from(tokens), { outputs, hidden: node === hidden });
    const reference = expected.get(node)?.data ?? new Float64Array(0);
    const largest = Math.max(...reference.map(Math.abs));
    expect(values).toHaveLength(outputs.length * width(node.shape));
    values.forEach((value, i) => {
      expect(Math.abs(value - (reference[i] ?? NaN))).toBeLessThan(largest * 1e-5);
    });
  }
}

describe('a compiled program computes what the graph says', () => {
  test.each([
    ['llama with grouped queries', llama],
    ['llama, tied, one key head', { ...llama, tie_word_embeddings: true, num_key_value_heads: 1 }],
    ['llama with biases', { ...llama, attention_bias: true, mlp_bias: true }],
    ['gpt-neox with parallel residual', neox],
    ['gpt-neox, one after the other', { ...neox, use_parallel_residual: false }],
    ['gpt-neox with scaled inputs behind GELU and elsewhere', { ...neox, ...inputScales(down(0), down(1), dense) }],
  ])('%s', async (_, config) => {
    await expectSame(pass(config));
  });
});

test('a linear multiplies the channels of its input itself', () => {
  const results = pass({ ...neox, ...inputScales(down(0)) });
  const { weights } = randomWeights(results.graph);
  const { instructions } = compile(results, weights, options);
  const plain = compile(pass(neox), weights, options).instructions;
  expect(instructions.map(({ op }) => op)).toEqual(plain.map(({ op }) => op));
  const scaled = instructions.filter(
    (instruction) => instruction.op === 'linear' && instruction.norm?.kind === 'scale',
  );
  expect(scaled).toMatchObject([
    { parts: [{ name: down(0) }], norm: { weight: weights.vector(`${down(0)}.input_scale`) } },
  ]);
});

/** Every operator, arranged so that hardly any pattern fits: what no instruction fuses must run all the same. */
function unusual(): Results {
  const graph = new Graph();
  const [channels, vocabulary] = [16, 12];
  const input = graph.add('tokens', [], {});
  const linear = (x: Node, name: string, out: number): Node =>
    graph.add('linear', [x, graph.weight(`${name}.weight`, [out, width(x.shape)])], { name });
  const norm = (x: Node, name: string): Node =>
    graph.add('rmsNorm', [x, graph.weight(name, [width(x.shape)])], { epsilon: 1e-6, weightOffset: 1 });
  const embedded = graph.add('embed', [input, graph.weight('embed', [vocabulary, channels])], { scale: 3 });
  const places = graph.add('positionEmbed', [input, graph.weight('positions', [20, channels])], { offset: 2 });
  // The embedding is read again below, so that positions cannot simply be added to it.
  const x = graph.add('add', [places, embedded], {});
  const layer = graph.block(0, () => {
    // A norm that more than linears read, and a factor for each channel before it.
    const factored = graph.add('mul', [graph.add('add', [x, embedded], {}), graph.weight('factors', [channels])], {});
    const normed = norm(factored, 'norm');
    const qkv = graph.add('clamp', [linear(normed, 'qkv', 3 * channels)], { min: -0.5, max: 0.5 });
    const part = (index: number, order: (i: number) => number): Node =>
      graph.add('take', [qkv], {
        channels: Int32Array.from({ length: channels }, (_, i) => index * channels + order(i)),
      });
    const headNorm = (y: Node, name: string): Node =>
      graph.add('rmsNorm', [y, graph.weight(name, [4])], { epsilon: 1e-6, perHead: 4 });
    const rope = { headDim: 4, rotaryDim: 2, theta: 100, style: 'interleaved' } as const;
    // Heads of q in reverse, which have no stride, and a key head norm; v is read by more than attention.
    const q = graph.add(
      'rope',
      [
        headNorm(
          part(0, (i) => 12 - 4 * Math.floor(i / 4) + (i % 4)),
          'q_norm',
        ),
      ],
      rope,
    );
    const k = graph.add(
      'rope',
      [
        headNorm(
          part(1, (i) => i),
          'k_norm',
        ),
      ],
      rope,
    );
    const v = part(2, (i) => i);
    const attention = { heads: 4, kvHeads: 4, headDim: 4, layer: 0, scale: 0.5, softcap: 2, window: 3 };
    const attended = graph.add('attention', [q, k, v], { ...attention, alibi: [0.5, 0.25, 0.125, 0.0625] });
    const mixed = graph.add('mul', [attended, headNorm(v, 'v_norm')], {});
    const gate = linear(mixed, 'gate', channels);
    // The gate is read twice, and its activation multiplies something that is not a linear.
    const gated = graph.add('mul', [graph.add('gelu', [gate], {}), graph.add('relu', [gate], {})], {});
    const scaled = graph.add('scale', [linear(gated, 'down', channels)], { factor: 0.5 });
    return graph.add('add', [graph.add('add', [normed, scaled], {}), graph.add('silu', [normed], {})], {});
  });
  graph.add('geluTanh', [layer], {});
  const hidden = norm(graph.add('lastTokens', [graph.add('geluTanh', [layer], {})], {}), 'final');
  return { graph, hidden, logits: graph.add('softcap', [linear(hidden, 'embed', vocabulary)], { cap: 5 }) };
}

test('a graph with little to fuse runs as well, and what nothing reads does not run', async () => {
  const results = unusual();
  await expectSame(results);
  const { weights } = randomWeights(results.graph);
  const ops = compile(results, weights, options).instructions.map(({ op }) => op);
  expect(ops.filter((op) => op === 'geluTanh')).toHaveLength(1);
});

/** How many instructions of each kind the second decoder block has, and in how many stages. */
function shapeOfBlock({ graph, logits, hidden }: Results): { instructions: string[]; stages: number } {
  const { weights } = randomWeights(graph);
  const { stages } = planProgram({ graph, logits, hidden }, weights, options);
  const lowering = { buffer: () => 0, ropeTable: () => 0 };
  const block = stages.map((stage) => stage.filter(({ writes }) => writes.some((node) => node.block === 1)));
  return {
    instructions: block.flat().map((operation) => {
      const instruction = operation.lower(lowering);
      return instruction.op === 'linear'
        ? `${instruction.norm ? 'norm ' : ''}linear x ${instruction.parts.length} ${instruction.epilogue.kind}`
        : instruction.op;
    }),
    stages: block.filter((stage) => stage.length > 0).length,
  };
}

describe('fusion', () => {
  test('a Llama block is five instructions', () => {
    expect(shapeOfBlock(pass(llama))).toEqual({
      instructions: ['norm linear x 3 none', 'attention', 'linear x 1 add', 'norm linear x 2 gated', 'linear x 1 add'],
      stages: 5,
    });
  });

  test('a fused gate and up is taken apart by rows', async () => {
    const graph = new Graph();
    const tokens = graph.add('tokens', [], {});
    const x = graph.add('embed', [tokens, graph.weight('embed', [12, 8])], {});
    const linear = (y: Node, name: string, out: number): Node =>
      graph.add(
        'linear',
        [y, graph.weight(`${name}.weight`, [out, width(y.shape)]), graph.weight(`${name}.bias`, [out])],
        { name },
      );
    const part = (y: Node, begin: number): Node =>
      graph.add('take', [y], { channels: Int32Array.from({ length: 8 }, (_, i) => begin + i) });
    const layer = graph.block(1, () => {
      const fused = linear(x, 'gate_up', 16);
      const gated = graph.add('mul', [graph.add('silu', [part(fused, 0)], {}), part(fused, 8)], {});
      // Of a fused q, k, v attention finds the heads in place.
      const qkv = linear(gated, 'qkv', 24);
      const attention = { heads: 2, kvHeads: 2, headDim: 4, layer: 0, scale: 0.5 };
      return graph.add('attention', [part(qkv, 0), part(qkv, 8), part(qkv, 16)], attention);
    });
    const hidden = graph.add('lastTokens', [layer], {});
    const results = { graph, hidden, logits: linear(hidden, 'head', 12) };
    await expectSame(results);
    expect(shapeOfBlock(results).instructions).toEqual(['linear x 2 gated', 'linear x 1 none', 'attention']);
  });

  test('a GPT-NeoX block is five as well, in four stages where its branches are parallel', () => {
    const instructions = [
      'norm linear x 1 none',
      'norm linear x 1 activation',
      'attention',
      'linear x 1 add',
      'linear x 1 add',
    ];
    expect(shapeOfBlock(pass(neox))).toEqual({ instructions, stages: 4 });
    expect(shapeOfBlock(pass({ ...neox, use_parallel_residual: false })).stages).toBe(5);
  });
});

describe('arithmetic of each linear', () => {
  /** Of every linear instruction: the names of its parts and what it computes in. */
  function arithmetic(
    config: HfConfig,
    wanted: Readonly<Record<string, LinearCompute>>,
    asked?: LinearCompute,
  ): [string, string][] {
    const results = pass(config);
    const { weights } = randomWeights(results.graph);
    const isDense = (name: string): boolean => name === 'lm_head.weight';
    const format = (name: string): WeightFormat => {
      const { rows, columns } = weights.format(name);
      const compute = wanted[name];
      return isDense(name)
        ? { format: 'f32', rows, columns, groupSize: undefined }
        : { format: 'int4-sym', rows, columns, groupSize: 32, ...(compute && { compute }) };
    };
    return compile(results, { ...weights, format }, { ...options, compute: asked }).instructions.flatMap(
      (instruction): [string, string][] =>
        instruction.op === 'linear'
          ? [
              [
                instruction.parts.map(({ name }) => name.replace(/^model\.layers\./, '')).join(' '),
                instruction.compute.type,
              ],
            ]
          : [],
    );
  }

  const one = { ...llama, num_hidden_layers: 1 };
  const qkv = '0.self_attn.q_proj 0.self_attn.k_proj 0.self_attn.v_proj';
  const [o, gateUp, down] = ['0.self_attn.o_proj', '0.mlp.gate_proj 0.mlp.up_proj', '0.mlp.down_proj'];

  test('int8 where nothing is said; dense weights in float32', () => {
    expect(arithmetic(one, {})).toEqual([
      ...([
        [qkv, 'int8'],
        [o, 'int8'],
        [gateUp, 'int8'],
        [down, 'int8'],
      ] as const),
      ['lm_head', 'f32'],
    ]);
  });

  test('what one of several asks for, all that read its input get, as one instruction', () => {
    const wanted = {
      'model.layers.0.self_attn.k_proj.weight': 'bf16',
      'model.layers.0.self_attn.v_proj.weight': 'f32',
      'model.layers.0.mlp.up_proj.weight': 'bf16',
      'model.layers.0.mlp.down_proj.weight': 'f32',
    } as const;
    expect(arithmetic(one, wanted)).toEqual([
      ...([
        [qkv, 'f32'],
        [o, 'int8'],
        [gateUp, 'bf16'],
        [down, 'f32'],
      ] as const),
      ['lm_head', 'f32'],
    ]);
  });

  test('what is asked for the whole model goes before what it says', () => {
    const wanted = { 'model.layers.0.mlp.down_proj.weight': 'f32' } as const;
    expect(new Set(arithmetic(one, wanted, 'int8').map(([, type]) => type))).toEqual(new Set(['int8', 'f32']));
    expect(arithmetic(one, wanted, 'int8').at(3)).toEqual([down, 'int8']);
    expect(new Set(arithmetic(one, {}, 'bf16').map(([, type]) => type))).toEqual(new Set(['bf16', 'f32']));
  });
});
