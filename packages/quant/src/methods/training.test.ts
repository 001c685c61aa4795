import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { openCheckpoint, type Checkpoint } from '@llm/models';
import { equivalentScales, evaluateBlock, fakeQuantize, type Graph, type Tensor, type Weights } from '@llm/tensor';
import type { Grid } from '../grid.ts';
import { dequantizeMatrix, quantizeMatrix } from '../quantized-matrix.ts';
import { randomSource } from '../random.ts';
import { writeTinyModel } from '../testing/tiny-model.ts';
import { BlockLoss, shuffledBatches, splitBatches, type BlockBatch } from './block-loss.ts';
import { signRound, type TrainedLinear } from './signround.ts';
import { trainScales } from './teq.ts';

let folder: string;
let checkpoint: Checkpoint;
let graph: Graph;
let weights: Weights;
let batches: BlockBatch[];
let loss: BlockLoss;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'training-'));
  await writeTinyModel(folder);
  checkpoint = await openCheckpoint(folder);
  graph = checkpoint.architecture.build(checkpoint.config).graph;
  const values = new Map<string, Tensor>();
  for (const node of graph.nodes)
    if (node.op === 'weight')
      values.set(node.attributes.name, { shape: node.attributes.shape, data: checkpoint.read(node.attributes.name) });
  weights = (name) => values.get(name) as Tensor;
  const random = randomSource(1);
  batches = [];
  for (let batch = 0; batch < 6; batch++) {
    const input: Tensor = { shape: [24, 64], data: Float32Array.from({ length: 24 * 64 }, () => random() - 0.5) };
    const { outputs } = await evaluateBlock(graph, 0, [input], weights, { sequences: [16, 8] });
    batches.push({ inputs: [input], targets: outputs, sequences: [16, 8] });
  }
  loss = new BlockLoss(graph, 0, batches.length, (batch) => Promise.resolve(batches[batch] as BlockBatch), undefined);
});
afterAll(async () => {
  checkpoint[Symbol.dispose]();
  await rm(folder, { recursive: true, force: true });
});

const names = ['q', 'k', 'v', 'o'].map((part) => `model.layers.0.self_attn.${part}_proj.weight`);

function linears(grid: Grid): TrainedLinear[] {
  return names.map((name) => {
    const { shape, data } = weights(name);
    return { name, weights: data as Float32Array, columns: shape[1] ?? 1, grid };
  });
}

test('the loss of the block as it was is 0, and its gradient agrees with finite differences', async () => {
  expect(await loss.value(0, weights)).toBeLessThan(1e-6);
  const [name] = names as [string];
  const base = weights(name);
  const moved = (at: number, by: number): Weights => {
    const data = base.data.map((w, i) => w * 0.8 + (i === at ? by : 0));
    return (other) => (other === name ? { shape: base.shape, data } : weights(other));
  };
  const gradients = await loss.gradients(1, moved(-1, 0), new Set([name]));
  expect([...gradients.keys()]).toEqual([name]);
  const gradient = gradients.get(name) as Float32Array;
  const largest = gradient.reduce((top, value, i) => (Math.abs(value) > Math.abs(gradient[top] ?? 0) ? i : top), 0);
  for (const at of [largest, 70]) {
    const slope = ((await loss.value(1, moved(at, 0.002))) - (await loss.value(1, moved(at, -0.002)))) / 0.004;
    expect(Math.abs(slope - (gradient[at] ?? NaN))).toBeLessThan(0.03 * Math.abs(gradient[largest] ?? NaN));
  }
});

test('SignRound: no steps are rounding to nearest; steps lower the loss, for scales of either sign', async () => {
  for (const scheme of ['sym', 'asym'] as const)
    for (const bits of [2, 3, 4]) {
      const grid: Grid = { bits, groupSize: 32, scheme };
      const none = await signRound(loss, linears(grid), weights, { iterations: 0 });
      for (const { name, weights: w, columns } of linears(grid))
        expect(none.matrices.get(name)).toEqual(quantizeMatrix(w, w.length / columns, columns, grid));
      expect(none.loss).toBe(none.roundingLoss);
      const trained = await signRound(loss, linears(grid), weights, { iterations: 30, learningRate: 0.02 });
      expect(trained.loss).toBeLessThan(0.9 * trained.roundingLoss);
      // What is stored gives the loss that was promised.
      const stored: Weights = (name) => {
        const matrix = trained.matrices.get(name);
        return matrix ? { shape: [matrix.rows, matrix.columns], data: dequantizeMatrix(matrix) } : weights(name);
      };
      const { validation } = splitBatches(batches.length);
      expect(Math.abs((await loss.mean(validation, stored)) / trained.loss - 1)).toBeLessThan(1e-4);
      if (scheme === 'sym') {
        const scales = [...(trained.matrices.get(names[0] as string)?.scales ?? [])];
        expect(scales.some((scale) => scale < 0) && scales.some((scale) => scale > 0)).toBe(true);
      }
    }
});

test('SignRound is decided by its seed and stops early when asked', async () => {
  const grid: Grid = { bits: 3, groupSize: -1, scheme: 'sym' };
  const run = (seed: number): Promise<unknown> => signRound(loss, linears(grid), weights, { iterations: 8, seed });
  expect(await run(5)).toEqual(await run(5));
  const stopped = await signRound(loss, linears(grid), weights, { iterations: 1000, learningRate: 0, patience: 1 });
  expect(stopped.loss).toBe(stopped.roundingLoss);
  await expect(signRound(loss, linears({ ...grid, scheme: 'min' }), weights)).rejects.toThrow('scheme=min');
  await expect(signRound(loss, linears(grid), weights, { effort: 'lite' as 'light' })).rejects.toThrow('effort=lite');
});

test('the native rounding and the stored grids are the same', async () => {
  const data = weights(names[3] as string).data as Float32Array;
  for (const scheme of ['sym', 'asym'] as const)
    for (const bits of [2, 4, 8]) {
      const grid: Grid = { bits, groupSize: 32, scheme };
      const native = await fakeQuantize({ rows: 64, columns: 64, weights: data, bits, groupSize: 32, scheme });
      const stored = dequantizeMatrix(quantizeMatrix(data, 64, 64, grid));
      expect(native.map((w) => w + 0)).toEqual(stored);
    }
});

test('TEQ: all ones is rounding; training lowers the loss, and its gradient is that of the formula', async () => {
  const exchanges = equivalentScales(graph).filter(({ block }) => block === 0);
  expect(exchanges.length).toBeGreaterThanOrEqual(3);
  const grid: Grid = { bits: 3, groupSize: 32, scheme: 'asym' };
  const grids = new Map(graph.weightNames.filter((name) => /layers\.0.*_proj/.test(name)).map((name) => [name, grid]));
  const none = await trainScales(loss, exchanges, grids, weights, { iterations: 0 });
  for (const factors of none.factors.values()) expect(factors.every((factor) => factor === 1)).toBe(true);
  const trained = await trainScales(loss, exchanges, grids, weights, { iterations: 40, learningRate: 0.02 });
  expect(trained.identityLoss).toBe(none.loss);
  expect(trained.loss).toBeLessThan(0.97 * trained.identityLoss);
  for (const factors of trained.factors.values())
    expect(factors.every((factor) => factor > 0 && Number.isFinite(factor))).toBe(true);
  await expect(trainScales(loss, exchanges, grids, weights, { iterations: -1 })).rejects.toThrow('iterations=-1');
});

test('batches: every one is used once before any is used again, and some are held back', () => {
  expect(splitBatches(16)).toEqual({ training: [...Array(14).keys()], validation: [14, 15] });
  expect(splitBatches(2)).toEqual({ training: [0, 1], validation: [0, 1] });
  const order = shuffledBatches([3, 4, 5], randomSource(1));
  for (let round = 0; round < 4; round++)
    expect([order.next().value, order.next().value, order.next().value].toSorted()).toEqual([3, 4, 5]);
});
