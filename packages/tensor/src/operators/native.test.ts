import { describe, expect, test } from '@jest/globals';
import { ShapeMismatchError } from '../errors.ts';
import type { OperatorAttributes, OperatorName } from '../graph/attributes.ts';
import { Graph } from '../graph/graph.ts';
import type { Node } from '../graph/node.ts';
import { randomGenerator } from '../testing/random-matrix.ts';
import type { Tensor } from '../tensor.ts';
import { addMoments, NativeOperators, rowProducts, signStep } from './native.ts';
import { compute } from './product.ts';
import { operators } from './table.ts';

const random = randomGenerator(3);
const sequences = [37, 5, 64];
const tokens = 106;

function randomTensor(shape: readonly number[]): Tensor {
  const length = shape.reduce((product, dimension) => product * dimension, 1);
  return { shape, data: Float32Array.from({ length }, () => 2 * (random() + random() + random()) - 3) };
}

function inDouble({ shape, data }: Tensor): Tensor {
  return { shape, data: Float64Array.from(data) };
}

interface Case<Op extends OperatorName = OperatorName> {
  readonly op: Op;
  readonly attributes: OperatorAttributes[Op];
  readonly rows: readonly number[];
  readonly weights?: readonly (readonly number[])[];
  readonly name?: string;
}

const one = <Op extends OperatorName>(c: Case<Op>): Case => c;
const rope = { headDim: 24, rotaryDim: 20, theta: 100, style: 'half' } as const;
const attention = { heads: 6, kvHeads: 2, headDim: 24, scale: 0.2, layer: 0 } as const;

const cases = [
  one({ op: 'linear', attributes: { name: 'l' }, rows: [72], weights: [[40, 72], [40]] }),
  one({ op: 'rmsNorm', attributes: { epsilon: 1e-3 }, rows: [67], weights: [[67]] }),
  one({
    op: 'rmsNorm',
    attributes: { epsilon: 1e-3, perHead: 20, weightOffset: 1 },
    rows: [60],
    weights: [[20]],
    name: 'rmsNorm per head',
  }),
  one({ op: 'layerNorm', attributes: { epsilon: 1e-3 }, rows: [67], weights: [[67]], name: 'layerNorm without bias' }),
  one({ op: 'layerNorm', attributes: { epsilon: 1e-3 }, rows: [67], weights: [[67], [67]] }),
  one({ op: 'rope', attributes: rope, rows: [72] }),
  one({ op: 'rope', attributes: { ...rope, style: 'interleaved' }, rows: [72], name: 'rope interleaved' }),
  one({ op: 'attention', attributes: attention, rows: [144, 48, 48] }),
  one({ op: 'attention', attributes: { ...attention, window: 7 }, rows: [144, 48, 48], name: 'attention with window' }),
  one({ op: 'attention', attributes: { ...attention, softcap: 2 }, rows: [144, 48, 48], name: 'attention, softcap' }),
  one({ op: 'add', attributes: {}, rows: [40, 40] }),
  one({ op: 'mul', attributes: {}, rows: [40, 40] }),
  one({ op: 'silu', attributes: {}, rows: [333] }),
  one({ op: 'gelu', attributes: {}, rows: [333] }),
  one({ op: 'geluTanh', attributes: {}, rows: [333] }),
  one({ op: 'relu', attributes: {}, rows: [333] }),
  one({ op: 'scale', attributes: { factor: 3 }, rows: [33], name: 'scale, which is plain' }),
];

function largestDifference(found: Tensor | undefined, exact: Tensor | undefined): number {
  expect(found?.shape).toEqual(exact?.shape);
  const values = Array.from(exact?.data ?? []);
  const size = values.reduce((top, value) => Math.max(top, Math.abs(value)), 0);
  const worst = values.reduce((top, value, i) => Math.max(top, Math.abs(value - (found?.data[i] ?? NaN))), 0);
  return worst / size;
}

describe('native operators agree with the plain ones in double precision', () => {
  test.each(cases.map((c) => [c.name ?? c.op, c] as const))('%s', async (_, { op, attributes, rows, weights = [] }) => {
    const graph = new Graph();
    const ids = graph.add('tokens', [], {});
    const nodes = rows.map((columns, i) => graph.add('embed', [ids, graph.weight(`row${i}`, [4, columns])], {}));
    const vectors = weights.map((shape, i) => graph.weight(`weight${i}`, shape));
    const node = graph.add(op, [...nodes, ...vectors], attributes) as Node;
    const inputs = [...rows.map((columns) => randomTensor([tokens, columns])), ...weights.map(randomTensor)];
    const native = new NativeOperators();
    const step = { sequences };
    const found = await native.evaluate(node, inputs, step);
    const plain = operators[op] as (typeof operators)['linear'];
    const exact = compute(plain.evaluate?.(inputs.map(inDouble), attributes as never, step) as Tensor);
    expect(largestDifference(found, exact)).toBeLessThan(3e-6);

    const dy = randomTensor(found.shape);
    const wanted = inputs.map((_, i) => i < rows.length || op === 'linear');
    const request = { dy, inputs, attributes: attributes as never, step, wanted };
    const gradients = await native.gradient(op, request);
    const exactly = compute(
      plain.gradient?.({ ...request, dy: inDouble(dy), inputs: inputs.map(inDouble) }) as Tensor[],
    );
    for (const [i, want] of wanted.entries())
      if (want) expect(largestDifference(gradients[i], exactly[i])).toBeLessThan(5e-6);
  });
});

test('what is given back is used again, once', async () => {
  const { arrays } = new NativeOperators();
  const first = arrays.allocate(10);
  arrays.release(first);
  arrays.release(first);
  arrays.release(new Float32Array(10));
  expect(arrays.allocate(10)).toBe(first);
  expect(arrays.allocate(10)).not.toBe(first);
  expect(await new NativeOperators().sum(randomTensor([3]), inDouble(randomTensor([3])))).toBeDefined();
});

test('a signal stops before the next operator, and wrong sizes are refused', async () => {
  const reason = new Error('enough');
  const product = { m: 2, n: 2, k: 2, a: new Float32Array(4), b: new Float32Array(4) };
  await expect(new NativeOperators(AbortSignal.abort(reason)).product(product)).rejects.toBe(reason);
  await expect(signStep(new Float32Array(3), new Float32Array(4), 1, [0, 1])).rejects.toThrow(ShapeMismatchError);
  await expect(addMoments(new Float32Array(5), new Float64Array(2), new Float64Array(2))).rejects.toThrow(
    ShapeMismatchError,
  );
  await expect(rowProducts(new Float32Array(5), new Float32Array(5), new Float64Array(2))).rejects.toThrow(
    ShapeMismatchError,
  );
});

test('products of rows, whatever their length', async () => {
  for (const [rows, columns] of [
    [1, 3],
    [7, 8],
    [300, 67],
  ] as const) {
    const [x, y] = [
      randomTensor([rows, columns]).data as Float32Array,
      randomTensor([rows, columns]).data as Float32Array,
    ];
    const products = new Float64Array(rows);
    await rowProducts(x, y, products);
    for (let row = 0; row < rows; row++) {
      const expected = x
        .subarray(row * columns, (row + 1) * columns)
        .reduce((sum, value, c) => sum + value * (y[row * columns + c] as number), 0);
      expect(products[row]).toBeCloseTo(expected, 12);
    }
  }
});

test('steps against the sign, and moments of columns', async () => {
  const values = Float32Array.of(0, 0.45, -0.45, 0.2);
  await signStep(values, Float32Array.of(3, -1, 1e-9, 0), 0.125, [-0.5, 0.5]);
  expect([...values]).toEqual([-0.125, 0.5, -0.5, Math.fround(0.2)]);
  const x = randomTensor([501, 67]).data as Float32Array;
  const [absolute, squares] = [new Float64Array(67), new Float64Array(67).fill(1)];
  await addMoments(x, absolute, squares);
  for (const c of [0, 30, 66]) {
    const column = Array.from({ length: 501 }, (_, row) => x[row * 67 + c] as number);
    expect(absolute[c]).toBe(column.reduce((sum, value) => sum + Math.abs(value), 0));
    expect(squares[c]).toBe(column.reduce((sum, value) => sum + value * value, 1));
  }
});
