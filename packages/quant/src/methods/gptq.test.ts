import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { collectStatistics } from '../calibration/statistics.ts';
import { schemes, type Grid } from '../grid.ts';
import { dequantizeMatrix, quantizeMatrix } from '../quantized-matrix.ts';
import { randomSource } from '../random.ts';
import { orderColumns } from './column-order.ts';
import { gptq, SharedFactor, type GptqOptions } from './gptq.ts';
import { outputError, rowOutputErrors } from './output-error.ts';

function normals(count: number, seed: number): Float32Array {
  const random = randomSource(seed);
  return Float32Array.from({ length: count }, () => random() + random() + random() + random() - 2);
}

/** Inputs whose columns are correlated and of different sizes, as those of a language model are. */
function correlatedInputs(tokens: number, columns: number, seed: number): Float32Array {
  const hidden = 6;
  const mixing = normals(hidden * columns, seed);
  const sources = normals(tokens * hidden, seed + 1);
  const noise = normals(tokens * columns, seed + 2);
  return Float32Array.from({ length: tokens * columns }, (_, i) => {
    const [t, c] = [Math.floor(i / columns), i % columns];
    let value = 0.3 * (noise[i] ?? 0);
    for (let h = 0; h < hidden; h++) value += (sources[t * hidden + h] ?? 0) * (mixing[h * columns + c] ?? 0);
    return value * (1 + 4 * Math.exp(-(c % 17)));
  });
}

async function problem(
  rows: number,
  columns: number,
  seed: number,
): Promise<{ weights: Float32Array; gram: Float32Array }> {
  const { gram } = await collectStatistics(correlatedInputs(4 * columns, columns, seed), columns);
  return { weights: normals(rows * columns, seed + 9), gram };
}

const grid: Grid = { bits: 3, groupSize: 32, scheme: 'sym' };

test('far better than rounding where inputs are correlated, for every grid and order', async () => {
  const { weights, gram } = await problem(12, 80, 1);
  for (const scheme of schemes)
    for (const groupSize of [-1, 32, 40])
      for (const order of ['natural', 'activation', 'group-aware'] as const) {
        const result = await gptq(weights, gram, { bits: 3, groupSize, scheme }, { order, damping: 0.01 });
        expect(result.outputError).toBeLessThan(0.6 * result.roundingError);
        const stored = await outputError(weights, dequantizeMatrix(result.matrix), gram, 80);
        expect(result.outputError).toBeCloseTo(stored, 4);
      }
});

test('no row is worse than rounding, by the guard', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 1e6 }), async (seed) => {
      const { weights, gram } = await problem(16, 48, seed);
      const { matrix } = await gptq(weights, gram, grid, { damping: 0.01 });
      const errors = await rowOutputErrors(weights, dequantizeMatrix(matrix), gram, 48);
      const rounding = await rowOutputErrors(
        weights,
        dequantizeMatrix(quantizeMatrix(weights, 16, 48, grid)),
        gram,
        48,
      );
      for (const [row, error] of errors.entries()) expect(error).toBeLessThanOrEqual(rounding[row] ?? NaN);
    }),
    { numRuns: 20 },
  );
});

test('with uncorrelated inputs it is rounding, bit for bit', async () => {
  const weights = normals(5 * 72, 3);
  for (const diagonal of [() => 2.5, (c: number) => 1 + c]) {
    const gram = Float32Array.from({ length: 72 * 72 }, (_, i) => (i % 73 === 0 ? diagonal(i % 72) : 0));
    for (const order of ['natural', 'activation', 'group-aware'] as const)
      expect((await gptq(weights, gram, grid, { order })).matrix).toEqual(quantizeMatrix(weights, 5, 72, grid));
  }
});

test('a shared factor changes nothing, whichever matrices share it', async () => {
  using shared = new SharedFactor();
  const [first, second] = [await problem(5, 64, 4), await problem(5, 64, 5)];
  for (const [weights, gram] of [
    [first.weights, first.gram],
    [second.weights, first.gram],
    [second.weights, second.gram],
  ] as const)
    // In this order both matrices have the same permutation.
    expect(await gptq(weights, gram, grid, { order: 'natural', shared })).toEqual(
      await gptq(weights, gram, grid, { order: 'natural' }),
    );
});

test('heavy damping tends to rounding', async () => {
  const { weights, gram } = await problem(6, 64, 4);
  const rounded = quantizeMatrix(weights, 6, 64, grid).codes;
  const different = async (damping: number): Promise<number> => {
    const { matrix } = await gptq(weights, gram, grid, { damping, guard: false, staticGroups: true });
    return matrix.codes.filter((code, i) => code !== rounded[i]).length;
  };
  expect(await different(0.99)).toBeLessThan(await different(0.01));
});

test('the size of a block changes nothing', async () => {
  const { weights, gram } = await problem(7, 100, 5);
  const run = async (options: GptqOptions): Promise<Uint8Array> =>
    (await gptq(weights, gram, { ...grid, groupSize: 40 }, { ...options, guard: false })).matrix.codes;
  for (const options of [{ staticGroups: true }, {}, { order: 'activation' }] as const) {
    const whole = await run({ ...options, blockSize: 100 });
    for (const blockSize of [1, 13, 40, 64]) {
      const codes = await run({ ...options, blockSize });
      // Sums in another order move a weight over a rounding border now and then.
      expect(codes.filter((code, i) => code !== whole[i]).length).toBeLessThan(0.01 * codes.length);
    }
  }
});

test("the columns' errors add up to the damped objective", async () => {
  const [rows, n] = [3, 40];
  const { weights, gram } = await problem(rows, n, 6);
  const mean = Array.from({ length: n }, (_, c) => gram[c * n + c] ?? 0).reduce((a, b) => a + b) / n;
  const damped = gram.map((value, i) => value + (i % (n + 1) === 0 ? 0.1 * mean : 0));
  for (const order of ['natural', 'activation', 'group-aware'] as const) {
    const { matrix, dampedError } = await gptq(weights, gram, grid, { order, guard: false, damping: 0.1 });
    const objective = await outputError(weights, dequantizeMatrix(matrix), damped, n);
    expect(Math.abs(dampedError / objective - 1)).toBeLessThan(1e-4);
  }
});

test('permuting the columns beforehand permutes the result, when all of them are in one group', async () => {
  const { weights, gram } = await problem(4, 40, 7);
  const shuffle = Int32Array.from({ length: 40 }, (_, i) => (i * 7) % 40);
  const shuffledWeights = weights.map((_, i) => weights[Math.floor(i / 40) * 40 + (shuffle[i % 40] ?? 0)] ?? 0);
  const shuffledGram = gram.map((_, i) => gram[(shuffle[Math.floor(i / 40)] ?? 0) * 40 + (shuffle[i % 40] ?? 0)] ?? 0);
  const channel: Grid = { bits: 3, groupSize: -1, scheme: 'asym' };
  for (const order of ['activation', 'group-aware'] as const) {
    const plain = await gptq(weights, gram, channel, { order, guard: false });
    const moved = await gptq(shuffledWeights, shuffledGram, channel, { order, guard: false });
    const expected = moved.matrix.codes.map(
      (_, i) => plain.matrix.codes[Math.floor(i / 40) * 40 + (shuffle[i % 40] ?? 0)] ?? 0,
    );
    const different = expected.filter((code, i) => code !== moved.matrix.codes[i]).length;
    expect(different).toBeLessThanOrEqual(2);
  }
});

test('orders: groups stay together and the short one stays last', () => {
  const sizes = Float32Array.from({ length: 80 }, (_, i) => (i * 37) % 80);
  const natural = Array.from({ length: 80 }, (_, i) => i);
  expect([...orderColumns('natural', grid, sizes)]).toEqual(natural);
  const activation = [...orderColumns('activation', grid, sizes)];
  expect(activation.map((column) => sizes[column])).toEqual(natural.map((i) => 79 - i));
  const aware = [...orderColumns('group-aware', grid, sizes)];
  expect(aware.toSorted((a, b) => a - b)).toEqual(natural);
  const groups = aware.map((column) => Math.floor(column / 32));
  expect(groups.filter((g, i) => g !== groups[i - 1])).toHaveLength(3);
  expect(groups.slice(64)).toEqual(new Array(16).fill(2));
});

test('a dead column is 0, and more damping is found for a singular matrix', async () => {
  const inputs = correlatedInputs(10, 48, 8);
  for (let t = 0; t < 10; t++) inputs[t * 48 + 5] = 0;
  const { gram } = await collectStatistics(inputs, 48);
  const weights = normals(4 * 48, 10);
  const {
    matrix,
    damping,
    outputError: error,
    roundingError,
  } = await gptq(weights, gram, grid, { damping: 0, guard: false });
  expect(damping).toBeGreaterThan(0);
  expect(Number.isFinite(damping)).toBe(true);
  for (let row = 0; row < 4; row++) expect(matrix.codes[row * 48 + 5]).toBe(4);
  expect(error).toBeLessThan(roundingError);
  const nothing = await gptq(weights, new Float32Array(48 * 48), grid);
  expect(nothing.damping).toBe(Infinity);
  expect(nothing.matrix).toEqual(quantizeMatrix(weights, 4, 48, grid));
});

test('every token twice is the same problem', async () => {
  const x = correlatedInputs(200, 48, 11);
  const twice = new Float32Array(2 * x.length);
  twice.set(x);
  twice.set(x, x.length);
  const weights = normals(6 * 48, 12);
  const once = await gptq(weights, (await collectStatistics(x, 48)).gram, grid);
  const doubled = await gptq(weights, (await collectStatistics(twice, 48)).gram, grid);
  const different = once.matrix.codes.filter((code, i) => code !== doubled.matrix.codes[i]).length;
  expect(different).toBeLessThanOrEqual(2);
});

test('knowing the error of the inputs brings the output nearer to that of the original model', async () => {
  const [columns, tokens, rows] = [48, 400, 10];
  const original = correlatedInputs(tokens, columns, 20);
  const noise = correlatedInputs(tokens, columns, 30);
  const seen = original.map((value, i) => value + 0.15 * (noise[i] ?? 0));
  const { gram } = await collectStatistics(seen, columns);
  const inputError = new Float32Array(columns * columns);
  for (let t = 0; t < tokens; t++)
    for (let i = 0; i < columns; i++)
      for (let j = 0; j < columns; j++) {
        const d = (original[t * columns + i] ?? 0) - (seen[t * columns + i] ?? 0);
        inputError[i * columns + j] = (inputError[i * columns + j] ?? 0) + (d * (seen[t * columns + j] ?? 0)) / tokens;
      }
  const weights = normals(rows * columns, 21);
  const distance = async (options: GptqOptions): Promise<number> => {
    const restored = dequantizeMatrix(
      (await gptq(weights, gram, { ...grid, bits: 4 }, { ...options, guard: false })).matrix,
    );
    let sum = 0;
    for (let t = 0; t < tokens; t++)
      for (let row = 0; row < rows; row++) {
        let d = 0;
        for (let c = 0; c < columns; c++)
          d +=
            (weights[row * columns + c] ?? 0) * (original[t * columns + c] ?? 0) -
            (restored[row * columns + c] ?? 0) * (seen[t * columns + c] ?? 0);
        sum += d * d;
      }
    return sum;
  };
  expect(await distance({ inputError })).toBeLessThan(await distance({}));
});

test('options are checked', async () => {
  const { weights, gram } = await problem(2, 32, 1);
  await expect(gptq(weights, gram, grid, { order: 'act' as 'natural' })).rejects.toThrow('group-aware');
  await expect(gptq(weights, gram, grid, { damping: 2 })).rejects.toThrow('damping=2');
  await expect(gptq(weights, gram, grid, { dampening: 2 } as GptqOptions)).rejects.toThrow('damping');
  await expect(gptq(weights.subarray(1), gram, grid)).rejects.toThrow('do not fit');
});
