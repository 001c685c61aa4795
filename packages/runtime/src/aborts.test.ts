import { expect, jest, test } from '@jest/globals';
import { ProgramDisposedError } from '@llm/tensor';

import { demoModel } from '../../../tools/test/shared-data.mjs';
import type { Generation } from './generation.ts';
import { Model } from './model.ts';

jest.setTimeout(60_000);

/** Numbers in [0, 1), the same in every run. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('1000 generations ended at random moments, 64 at a time, leave nothing behind', async () => {
  await using model = await Model.load(demoModel(), { weights: 'int4', threads: 1, contextLength: 64 });
  const reference = await model.generate('Once upon a time', { maxTokens: 12 }).text;
  const before = model.stats().freeBlocks;
  const random = randomNumbers(1);
  const ends = { aborted: 0, left: 0, thrown: 0, whole: 0 };
  let started = 0;

  /** One of four ways in which a consumer may treat a generation, after a random number of pieces. */
  const consume = async (generation: Generation, controller: AbortController): Promise<void> => {
    const [way, after] = [Math.floor(random() * 4), Math.floor(random() * 6)];
    let pieces = 0;
    try {
      if (way === 0) {
        for (let turns = 0; turns < after; turns++) await settle();
        controller.abort(new Error('aborted'));
        await generation.text;
      }
      for await (const piece of generation) {
        if (way === 1 && pieces++ >= after) break;
        if (way === 2 && pieces++ >= after) throw new Error(`thrown at ${piece}`);
      }
      if (way === 3) expect(await generation.text).toBe(reference);
      ends[way === 1 ? 'left' : 'whole']++;
    } catch (error) {
      const { message } = error as Error;
      if (message !== 'aborted' && !message.startsWith('thrown')) throw error;
      ends[message === 'aborted' ? 'aborted' : 'thrown']++;
    }
  };

  const worker = async (): Promise<void> => {
    while (started++ < 1000) {
      const controller = new AbortController();
      const { signal } = controller;
      await consume(model.generate('Once upon a time', { maxTokens: 12, signal }), controller);
    }
  };
  await Promise.all(Array.from({ length: 64 }, worker));

  expect(Object.values(ends).reduce((sum, count) => sum + count)).toBe(1000);
  for (const count of Object.values(ends)) expect(count).toBeGreaterThan(100);
  // Cancelled requests give their blocks back at the engine's next turn, which this one waits for.
  expect(await model.generate('Once upon a time', { maxTokens: 12 }).text).toBe(reference);
  expect(model.stats().freeBlocks).toBe(before);
});

test('models disposed in the middle of generations end them all', async () => {
  for (let round = 0; round < 10; round++) {
    const model = await Model.load(demoModel(), { threads: 1, contextLength: 128 });
    const generations = Array.from({ length: 8 }, () => model.generate('Once', { stopTokens: [] }));
    for (let turns = 0; turns < round; turns++) await settle();
    await model.dispose();
    for (const generation of generations) await expect(generation.text).rejects.toThrow(ProgramDisposedError);
  }
});

test('the event loop may be busy: tokens that came meanwhile are all there', async () => {
  await using model = await Model.load(demoModel(), { weights: 'int4', threads: 1, contextLength: 64 });
  const generation = model.generate('Once upon a time', { maxTokens: 30 });
  const until = performance.now() + 200;
  while (performance.now() < until);
  expect(await generation.text).toBe(await model.generate('Once upon a time', { maxTokens: 30 }).text);
});
