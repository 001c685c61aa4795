import { expect, test } from '@jest/globals';
import { tensor, zeros, type Tensor } from '../tensor.ts';
import { attention } from './attention.ts';
import type { Computation } from './operator.ts';
import { compute } from './product.ts';

const values = (rows: number, columns: number, seed: number): Tensor =>
  tensor(
    [rows, columns],
    Float64Array.from({ length: rows * columns }, (_, i) => Math.sin(seed + i * 1.7)),
  );

const run = (inputs: Tensor[], attributes: Parameters<typeof attention.shape>[1], sequences: number[]): Tensor =>
  compute(attention.evaluate?.(inputs, attributes, { sequences }) as Computation<Tensor>);

/** The definition, one number at a time. */
function directly(
  [q, k, v]: Tensor[],
  heads: number,
  kvHeads: number,
  headDim: number,
  sequences: number[],
  window = Infinity,
): Tensor {
  if (!q || !k || !v) throw new Error('three inputs');
  const out = zeros(q.shape, q);
  const at = (x: Tensor, row: number, column: number): number => x.data[row * (x.shape[1] ?? 0) + column] ?? NaN;
  let begin = 0;
  for (const length of sequences) {
    for (let head = 0; head < heads; head++) {
      const kv = Math.floor((head * kvHeads) / heads);
      for (let t = 0; t < length; t++) {
        const keys = Array.from({ length: t + 1 }, (_, s) => s).filter((s) => t - s < window);
        const scores = keys.map((s) => {
          let dot = 0;
          for (let d = 0; d < headDim; d++)
            dot += at(q, begin + t, head * headDim + d) * at(k, begin + s, kv * headDim + d);
          return Math.exp(dot * headDim ** -0.5);
        });
        const total = scores.reduce((sum, score) => sum + score, 0);
        for (let d = 0; d < headDim; d++) {
          let sum = 0;
          keys.forEach((s, i) => (sum += ((scores[i] ?? 0) / total) * at(v, begin + s, kv * headDim + d)));
          out.data[(begin + t) * heads * headDim + head * headDim + d] = sum;
        }
      }
    }
    begin += length;
  }
  return out;
}

test.each([
  { heads: 2, kvHeads: 2, window: undefined },
  { heads: 6, kvHeads: 2, window: undefined },
  { heads: 4, kvHeads: 1, window: 2 },
])('is what its definition says: %o', ({ heads, kvHeads, window }) => {
  const headDim = 4;
  const sequences = [5, 1, 3];
  const inputs = [values(9, heads * headDim, 1), values(9, kvHeads * headDim, 2), values(9, kvHeads * headDim, 3)];
  const attributes = { heads, kvHeads, headDim, scale: headDim ** -0.5, layer: 0, ...(window && { window }) };
  const found = run(inputs, attributes, sequences);
  const expected = directly(inputs, heads, kvHeads, headDim, sequences, window);
  found.data.forEach((value, i) => {
    expect(value).toBeCloseTo(expected.data[i] ?? NaN, 12);
  });
});

test('a token does not see those after it', () => {
  const inputs = [values(4, 8, 1), values(4, 8, 2), values(4, 8, 3)];
  const attributes = { heads: 2, kvHeads: 2, headDim: 4, scale: 0.5, layer: 0 };
  const whole = run(inputs, attributes, [4]);
  const start = run(
    inputs.map((x) => tensor([3, 8], x.data.slice(0, 24))),
    attributes,
    [3],
  );
  expect(whole.data.slice(0, 24)).toEqual(start.data);
});
