import { describe, expect, test } from '@jest/globals';
import { sgemm } from '../blas.ts';
import { plainProduct } from '../operators/product.ts';
import { row, tensor, type Tensor } from '../tensor.ts';
import { evaluateBlock, type Sgemm } from './block.ts';
import { differentiate, differentiateBlock } from './differentiate.ts';
import { evaluate, valueOf } from './evaluate.ts';
import { Graph } from './graph.ts';
import { linearsByInput, traceLinears } from './linears.ts';
import type { Node } from './node.ts';

const [columns, heads, headDim, inner] = [8, 2, 4, 12];

/** A model of two Llama-like blocks. */
function model() {
  const graph = new Graph();
  const linear = (x: Node, name: string, rows: number, inputs: number) =>
    graph.add('linear', [x, graph.weight(name, [rows, inputs])], { name });
  let x: Node = graph.add('embed', [graph.add('tokens', [], {}), graph.weight('embed', [10, columns])], {});
  for (let layer = 0; layer < 2; layer++) {
    const input = x;
    x = graph.block(layer, () => {
      const h = graph.add('rmsNorm', [input, graph.weight(`${layer}.norm`, [columns])], { epsilon: 1e-5 }) as Node;
      const rope = { headDim, rotaryDim: headDim, theta: 100, style: 'half' } as const;
      const q = graph.add('rope', [linear(h, `${layer}.q`, columns, columns) as Node], rope) as Node;
      const k = graph.add('rope', [linear(h, `${layer}.k`, headDim, columns) as Node], rope) as Node;
      const v = linear(h, `${layer}.v`, headDim, columns) as Node;
      const attended = graph.add('attention', [q, k, v], { heads, kvHeads: 1, headDim, scale: 0.5, layer }) as Node;
      const a = graph.add('add', [input, linear(attended, `${layer}.o`, columns, columns) as Node], {}) as Node;
      const gate = graph.add('silu', [linear(a, `${layer}.gate`, inner, columns) as Node], {}) as Node;
      const gated = graph.add('mul', [gate, linear(a, `${layer}.up`, inner, columns) as Node], {}) as Node;
      return graph.add('add', [a, linear(gated, `${layer}.down`, columns, inner) as Node], {});
    });
  }
  return { graph, output: x };
}

const { graph, output } = model();
const made = new Map(
  graph.nodes.flatMap((node, seed) => {
    if (node.op !== 'weight') return [];
    const { name, shape } = node.attributes;
    const size = shape.reduce((product, dimension) => product * dimension, 1);
    return [
      [
        name,
        tensor(
          shape,
          Float32Array.from({ length: size }, (_, i) => Math.sin(seed * 31 + i * 1.37) * 0.6),
        ),
      ] as const,
    ];
  }),
);
const weights = (name: string): Tensor => made.get(name) as Tensor;
const tokens = [1, 9, 4, 4, 0, 7];
const sequences = [4, 2];

describe('evaluateBlock', () => {
  const values = evaluate(graph, tokens, weights, { sequences });
  const [streamNode] = graph.blockInputs(0);
  const stream = valueOf(streamNode as Node, values);

  test('block after block gives what the whole graph gives', async () => {
    const first = await evaluateBlock(graph, 0, [stream], weights, { sequences });
    const second = await evaluateBlock(graph, 1, first.outputs, weights, { sequences });
    expect(second.outputs[0]?.data).toEqual(valueOf(output, values).data);
  });

  test('does its products with the function given', async () => {
    let calls = 0;
    const counted: Sgemm = (product) => {
      calls += 1;
      return Promise.resolve(plainProduct(product) as Float32Array);
    };
    const { outputs } = await evaluateBlock(graph, 0, [stream], weights, { sequences, sgemm: counted });
    expect(outputs[0]?.data).toEqual(
      (await evaluateBlock(graph, 0, [stream], weights, { sequences })).outputs[0]?.data,
    );
    expect(calls).toBe(7 + 2 * 2); // seven linears; scores and values of two sequences
  });

  test('takes the library’s own sgemm', async () => {
    const plain = await evaluateBlock(graph, 0, [stream], weights, { sequences });
    const native = await evaluateBlock(graph, 0, [stream], weights, { sequences, sgemm });
    const [expected = [], found = []] = [plain.outputs[0]?.data, native.outputs[0]?.data].map((x) => [...(x ?? [])]);
    found.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i] ?? NaN, 4);
    });
    expect(found).toHaveLength(6 * columns);
  });

  test('one sequence at a time gives the same rows', async () => {
    const whole = await evaluateBlock(graph, 0, [stream], weights, { sequences });
    const second = await evaluateBlock(graph, 0, [tensor([2, columns], stream.data.slice(4 * columns))], weights);
    expect(second.outputs[0]?.data).toEqual(whole.outputs[0]?.data.slice(4 * columns));
  });

  test('drops values unless told to keep them', async () => {
    const lean = await evaluateBlock(graph, 0, [stream], weights, { sequences });
    expect([...lean.values.keys()]).toEqual(graph.blockOutputs(0));
  });

  test('stops when told to', async () => {
    const reason = new Error('enough');
    await expect(
      evaluateBlock(graph, 0, [stream], weights, { sequences, signal: AbortSignal.abort(reason) }),
    ).rejects.toBe(reason);
  });

  test('refuses rows that are not those of the sequences', async () => {
    await expect(evaluateBlock(graph, 0, [stream], weights, { sequences: [5] })).rejects.toThrow('5 tokens together');
  });
});

describe('traceLinears', () => {
  test('hears every distinct input once, in order', async () => {
    const stream = valueOf(graph.blockInputs(0)[0] as Node, evaluate(graph, tokens, weights, { sequences }));
    const heard: string[] = [];
    await traceLinears(
      graph,
      0,
      [stream],
      weights,
      ({ linears }, x) =>
        heard.push(`${linears.map(({ attributes }) => attributes.name).join('+')} [${x.shape.join(',')}]`),
      { sequences },
    );
    expect(heard).toEqual(['0.q+0.k+0.v [6,8]', '0.o [6,8]', '0.gate+0.up [6,8]', '0.down [6,12]']);
    expect(linearsByInput(graph)).toHaveLength(8);
  });
});

describe('differentiateBlock', () => {
  test('gives what differentiating the whole graph gives', async () => {
    const values = evaluate(graph, tokens, weights, { sequences });
    const seed = tensor(
      [6, columns],
      Float32Array.from({ length: 6 * columns }, (_, i) => Math.cos(i)),
    );
    const whole = differentiate(graph, values, output, seed, { sequences });
    const stream = valueOf(graph.blockInputs(1)[0] as Node, values);
    const result = await evaluateBlock(graph, 1, [stream], weights, { sequences, keep: true });
    const gradients = await differentiateBlock(graph, 1, result, [seed]);
    const names = [...gradients.keys()].flatMap((node) => (node.op === 'weight' ? [node.attributes.name] : []));
    expect(names.sort()).toEqual(['1.down', '1.gate', '1.k', '1.o', '1.q', '1.up', '1.v']);
    for (const [node, gradient] of gradients)
      if (node.op === 'weight') expect(gradient.data).toEqual(whole.get(node)?.data);
  });

  test('gives the gradient of the block’s input when asked', async () => {
    const stream = valueOf(graph.blockInputs(0)[0] as Node, evaluate(graph, tokens, weights, { sequences }));
    const result = await evaluateBlock(graph, 0, [stream], weights, { sequences, keep: true });
    const seed = tensor([6, columns], new Float32Array(6 * columns).fill(1));
    const [input] = graph.blockInputs(0);
    const gradients = await differentiateBlock(graph, 0, result, [seed], { wanted: (node) => node === input });
    expect([...gradients.keys()]).toEqual([input]);
    expect(row(gradients.get(input as Node) as Tensor, 0)).toHaveLength(columns);
  });
});
