import { expect, jest, test } from '@jest/globals';

import { demoModel } from '../../../tools/test/shared-data.mjs';
import { Model } from './model.ts';

jest.setTimeout(300_000);

test('200 rounds of loading and disposing leave no memory behind', async () => {
  const round = async (): Promise<void> => {
    await using model = await Model.load(demoModel(), { weights: 'int4', contextLength: 64, threads: 1 });
    await model.generate([1, 2, 3], { maxTokens: 2 }).text;
  };
  // Allocators and the pool settle.
  for (let i = 0; i < 30; i++) await round();
  const before = process.memoryUsage.rss();
  for (let i = 0; i < 200; i++) await round();
  // The 4-bit weights alone are 3 MiB, so that one model in ten that stays behind would be 60 MiB.
  expect((process.memoryUsage.rss() - before) / 2 ** 20).toBeLessThan(50);
});
