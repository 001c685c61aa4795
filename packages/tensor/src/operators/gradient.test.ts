import { describe, expect, test } from '@jest/globals';
import type { OperatorAttributes, OperatorName } from '../graph/attributes.ts';
import { differentiate } from '../graph/differentiate.ts';
import { evaluate, valueOf } from '../graph/evaluate.ts';
import { Graph } from '../graph/graph.ts';
import { tensor, type Tensor } from '../tensor.ts';
import { operators } from './table.ts';

/** Uniform numbers in (-1, 1), the same every time. */
function randomTensor(shape: readonly number[], seed: number): Tensor {
  let state = seed * 7919 + 17;
  const size = shape.reduce((product, dimension) => product * dimension, 1);
  return tensor(
    shape,
    Float64Array.from({ length: size }, () => (state = (state * 48271) % 2147483647) / 1073741823.5 - 1),
  );
}

interface Case<Op extends OperatorName> {
  readonly op: Op;
  readonly attributes: OperatorAttributes[Op];
  /** Columns of the inputs with a row per token. */
  readonly rows: readonly number[];
  /** Shapes of the weights after them. */
  readonly weights?: readonly (readonly number[])[];
  readonly name?: string;
}

const one = <Op extends OperatorName>(c: Case<Op>): Case<OperatorName> => c;

const rope = { headDim: 6, rotaryDim: 4, theta: 100, style: 'half' } as const;
const attention = { heads: 4, kvHeads: 2, headDim: 3, scale: 0.7, layer: 0 } as const;

const cases = [
  one({ op: 'embed', attributes: { scale: 3 }, rows: [], weights: [[4, 3]] }),
  one({ op: 'positionEmbed', attributes: { offset: 2 }, rows: [], weights: [[9, 3]] }),
  one({ op: 'linear', attributes: { name: 'l' }, rows: [5], weights: [[3, 5]] }),
  one({ op: 'linear', attributes: { name: 'l' }, rows: [5], weights: [[3, 5], [3]], name: 'linear with bias' }),
  one({ op: 'rmsNorm', attributes: { epsilon: 1e-3 }, rows: [6], weights: [[6]] }),
  one({
    op: 'rmsNorm',
    attributes: { epsilon: 1e-3, perHead: 3, weightOffset: 1 },
    rows: [6],
    weights: [[3]],
    name: 'rmsNorm per head',
  }),
  one({ op: 'layerNorm', attributes: { epsilon: 1e-3 }, rows: [6], weights: [[6]], name: 'layerNorm without bias' }),
  one({ op: 'layerNorm', attributes: { epsilon: 1e-3 }, rows: [6], weights: [[6], [6]] }),
  one({ op: 'take', attributes: { channels: Int32Array.of(2, 0, 2) }, rows: [4] }),
  one({ op: 'rope', attributes: rope, rows: [12] }),
  one({
    op: 'rope',
    attributes: { ...rope, style: 'interleaved', scaling: { type: 'linear', factor: 3 } },
    rows: [12],
    name: 'rope interleaved',
  }),
  one({ op: 'attention', attributes: attention, rows: [12, 6, 6] }),
  one({
    op: 'attention',
    attributes: { ...attention, window: 2, softcap: 0.8, alibi: [0.5, 0.25, 0.1, 0] },
    rows: [12, 6, 6],
    name: 'attention with window, softcap and alibi',
  }),
  one({ op: 'add', attributes: {}, rows: [4, 4] }),
  one({ op: 'mul', attributes: {}, rows: [4, 4] }),
  one({ op: 'mul', attributes: {}, rows: [4], weights: [[4]], name: 'mul by a vector' }),
  one({ op: 'silu', attributes: {}, rows: [4] }),
  one({ op: 'gelu', attributes: {}, rows: [4] }),
  one({ op: 'geluTanh', attributes: {}, rows: [4] }),
  one({ op: 'relu', attributes: {}, rows: [4] }),
  one({ op: 'scale', attributes: { factor: -2.5 }, rows: [4] }),
  one({ op: 'softcap', attributes: { cap: 0.7 }, rows: [4] }),
  one({ op: 'clamp', attributes: { min: -0.4, max: 0.5 }, rows: [4] }),
  one({ op: 'lastTokens', attributes: {}, rows: [4] }),
];

const tokens = [3, 0, 3, 1, 2];
const sequences = [3, 2];
const outputs = [2, 4];

describe('gradients agree with central differences', () => {
  test.each(cases.map((c) => [c.name ?? c.op, c] as const))('%s', (_, { op, attributes, rows, weights = [] }) => {
    const graph = new Graph();
    // Rows come from an embedding, so that they are weights as well.
    const ids = graph.add('tokens', [], {});
    const inputs = rows.map((columns, i) => graph.add('embed', [ids, graph.weight(`row${i}`, [4, columns])], {}));
    const vectors = weights.map((shape, i) => graph.weight(`weight${i}`, shape));
    const output = graph.add(
      op,
      [...(op === 'embed' || op === 'positionEmbed' ? [ids] : inputs), ...vectors],
      attributes,
    ) as never;

    const made = new Map(
      graph.nodes.flatMap((node, i) =>
        node.op === 'weight' ? [[node.attributes.name, randomTensor(node.attributes.shape, i)] as const] : [],
      ),
    );
    const weightsOf = (name: string): Tensor => made.get(name) as Tensor;
    const run = () => evaluate(graph, tokens, weightsOf, { sequences, outputs });
    const y = valueOf(output, run());
    const seed = randomTensor(y.shape, 99);
    const loss = (): number => {
      const { data } = valueOf(output, run());
      return Array.from(seed.data).reduce((sum, factor, i) => sum + factor * (data[i] as number), 0);
    };

    const gradients = differentiate(graph, run(), output, seed, { sequences, outputs });
    for (const node of graph.nodes) {
      if (node.op !== 'weight') continue;
      const { data } = weightsOf(node.attributes.name);
      const gradient = gradients.get(node);
      expect(gradient?.shape).toEqual(node.attributes.shape);
      for (let i = 0; i < data.length; i++) {
        const value = data[i] as number;
        const h = 1e-5;
        data[i] = value + h;
        const above = loss();
        data[i] = value - h;
        const below = loss();
        data[i] = value;
        expect(Math.abs((above - below) / (2 * h) - (gradient?.data[i] ?? NaN))).toBeLessThan(1e-8);
      }
    }
  });

  test('every operator with inputs has a case', () => {
    const tried = new Set(cases.map(({ op }) => op));
    const untried = Object.entries(operators).filter(
      ([op, { arity }]) => arity[1] > 0 && !tried.has(op as OperatorName),
    );
    expect(untried.map(([op]) => op)).toEqual([]);
  });
});
