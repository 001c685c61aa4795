import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { CalibrationError, RecipeError } from './errors.ts';
import type { Grid } from './grid.ts';
import { collectStatistics } from './calibration/statistics.ts';
import { quantizeByGram } from './methods/gram-clip.ts';
import { gptq } from './methods/gptq.ts';
import { searchScale } from './methods/awq.ts';
import { hqq } from './methods/hqq.ts';
import { dequantizeMatrix, quantizeMatrix, type QuantizedMatrix } from './quantized-matrix.ts';
import { quantize, type QuantizeOptions } from './quantize.ts';
import { methodNames } from './recipe.ts';
import { randomSource } from './random.ts';
import { plainLogits } from './testing/logits.ts';
import { writeTinyModel, type TinyWeight } from './testing/tiny-model.ts';

jest.setTimeout(600_000);

const [rows, columns] = [8, 96];
const random = randomSource(11);
const normal = (): number => random() + random() + random() + random() - 2;

/** Every way to round one matrix. */
async function everyRounding(weights: Float32Array, gram: Float32Array, grid: Grid): Promise<QuantizedMatrix[]> {
  const found = [
    quantizeMatrix(weights, rows, columns, grid),
    quantizeMatrix(weights, rows, columns, grid, { clipSearch: true }),
    await quantizeByGram(weights, rows, columns, grid, gram),
    (await gptq(weights, gram, grid)).matrix,
    (await gptq(weights, gram, grid, { order: 'activation', clipSearch: true })).matrix,
  ];
  return grid.scheme === 'min' ? [...found, hqq(weights, rows, columns, grid)] : found;
}

const grids = (['sym', 'asym', 'min'] as const).flatMap((scheme) =>
  [2, 4].flatMap((bits) => [32, 1024, -1].map((groupSize): Grid => ({ bits, groupSize, scheme }))),
);

describe.each(grids.map((grid) => [`${grid.bits} bits, groups of ${grid.groupSize}, ${grid.scheme}`, grid] as const))(
  '%s',
  (_, grid) => {
    test('zero groups, constant rows, dead channels, a singular matrix, and groups larger than the row', async () => {
      const weights = Float32Array.from({ length: rows * columns }, normal);
      weights.fill(0, 0, 32);
      weights.fill(0, columns, 2 * columns);
      weights.fill(0.25, 2 * columns, 3 * columns);
      weights.fill(-0.25, 3 * columns, 4 * columns);
      // Fewer tokens than columns, and inputs that are always 0.
      const x = Float32Array.from({ length: 20 * columns }, normal);
      for (let i = 0; i < x.length; i++) if (i % columns < 40) x[i] = 0;
      const { gram } = await collectStatistics(x, columns);
      for (const matrix of await everyRounding(weights, gram, grid)) {
        const back = dequantizeMatrix(matrix);
        expect(back.every(Number.isFinite)).toBe(true);
        expect(back.subarray(columns, 2 * columns).every((w) => w === 0)).toBe(true);
        // A constant row is on every grid: sym and asym have 0 and the constant, min has the constant.
        for (const [row, w] of [
          [2, 0.25],
          [3, -0.25],
        ] as const)
          for (let c = 40; c < columns; c++) expect(Math.abs((back[row * columns + c] ?? NaN) - w)).toBeLessThan(0.13);
      }
      // Nothing is known of the inputs at all.
      for (const matrix of await everyRounding(weights, new Float32Array(columns * columns), grid))
        expect(dequantizeMatrix(matrix).every(Number.isFinite)).toBe(true);
    });
  },
);

test('scales for inputs that are dead, and for weights that are 0', async () => {
  const grid: Grid = { bits: 4, groupSize: 32, scheme: 'asym' };
  const statistics = await collectStatistics(new Float32Array(20 * columns), columns);
  for (const weights of [new Float32Array(rows * columns), Float32Array.from({ length: rows * columns }, normal)])
    for (const { factors, error } of await searchScale([{ weights, grid }], statistics)) {
      expect(factors.every((factor) => factor > 0 && Number.isFinite(factor))).toBe(true);
      expect(error).toBe(0);
    }
});

describe('whole models', () => {
  let folder: string;
  let output: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bad-input-'));
    output = join(folder, 'out');
  });
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });
  afterEach(async () => {
    await rm(output, { recursive: true, force: true });
    await rm(`${output}.partial`, { recursive: true, force: true });
  });
  const documents = Array.from({ length: 4 }, (_, s) => Array.from({ length: 16 }, (_, i) => (s * 31 + i * 7) % 90));
  const short: Omit<QuantizeOptions, 'method' | 'output'> = {
    bits: 3,
    teq: { iterations: 2 },
    signround: { iterations: 2 },
    awq: { steps: 2 },
    calibration: { documents, samples: 4, length: 16 },
  };

  test('less text than a layer has inputs, a head tied to the embedding, zero rows and channels: nothing is NaN', async () => {
    const model = join(folder, 'tied');
    const change = ({ name, values, shape }: TinyWeight): void => {
      if (name.endsWith('layers.0.input_layernorm.weight')) values.fill(0, 0, 8); // dead channels
      if (name.endsWith('layers.1.mlp.up_proj.weight')) values.fill(0, 0, 3 * (shape[1] ?? 1));
    };
    await writeTinyModel(model, 'llama', { tie_word_embeddings: true }, change);
    for (const method of methodNames) {
      const scheme = method === 'hqq' ? 'min' : 'sym';
      const { layers } = await quantize(model, { ...short, method, scheme, output });
      expect(layers.every(({ relativeError }) => Number.isFinite(relativeError))).toBe(true);
      const [logits] = await plainLogits(output, [Int32Array.of(1, 2, 3, 4)]);
      expect(logits?.every(Number.isFinite)).toBe(true);
      await rm(output, { recursive: true });
    }
  });

  test('activations that become infinite name their layer and a remedy', async () => {
    const model = join(folder, 'infinite');
    await writeTinyModel(model, 'llama', {}, ({ name, values }) => {
      if (name.endsWith('layers.1.mlp.gate_proj.weight')) values.fill(1e30);
      if (name.endsWith('layers.1.mlp.up_proj.weight')) values.fill(1e30);
    });
    for (const method of ['gptq', 'awq'] as const) {
      const run = quantize(model, { ...short, method, output, skip: ['*.gate_proj', '*.up_proj'] });
      await expect(run).rejects.toThrow(CalibrationError);
      await expect(run).rejects.toThrow(/layers\.1\.mlp\.down_proj.*infinite or NaN.*skip/s);
    }
    const trained = quantize(model, { ...short, method: 'signround', output, skip: ['*.gate_proj', '*.up_proj'] });
    await expect(trained).rejects.toThrow(/Block 1/);
  });

  test('a recipe that names no layer lists some that there are', async () => {
    const model = join(folder, 'names');
    await writeTinyModel(model);
    const run = quantize(model, { method: 'rtn', output, layers: [{ match: '*.qproj', bits: 8 }] });
    await expect(run).rejects.toThrow(RecipeError);
    await expect(run).rejects.toThrow(/qproj.*q_proj/s);
  });
});
