import { expect, test } from '@jest/globals';
import { benchmarkArticle } from './article.ts';

test('a row for each shape and group size; what memory does not hold says so', async () => {
  // The shape has 134.5 M weights: with a scale for each 128 they take 69.5 MB, with one for each 32 75.6, and 5 % more to run.
  const room = 76e6;
  const after: string[] = [];
  const stages = new Set<string>();
  const result = await benchmarkArticle({
    ...{ shapes: ['smollm2-135m'], groupSizes: [32, 128], threads: 1, rounds: 1, prompt: 4, generate: 2 },
    freeMemory: () => room,
    afterShape: (shape) => {
      after.push(shape);
      return Promise.resolve();
    },
    onProgress: ({ stage }) => stages.add(stage),
  });
  expect(result).toMatchObject({ prompt: 4, generate: 2, machine: { threads: 1, node: process.version } });
  const [g32, g128] = result.rows;
  expect(g32).toMatchObject({ shape: 'smollm2-135m', groupSize: 32, skipped: { free: room } });
  expect(g32?.skipped?.needed).toBeGreaterThan(room);
  expect(g128).toMatchObject({ groupSize: 128, turn: { prompt: 4, generate: 2 } });
  expect(g128?.skipped).toBeUndefined();
  expect([...stages]).toEqual(['smollm2-135m g128']);
  expect(after).toEqual(['smollm2-135m']);
});

test('an aborted signal ends it before anything is made', async () => {
  const options = {
    shapes: ['llama-2-7b'],
    groupSizes: [32],
    threads: 1,
    signal: AbortSignal.abort(new Error('enough')),
  };
  await expect(benchmarkArticle(options)).rejects.toThrow('enough');
});
