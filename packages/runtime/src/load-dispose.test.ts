import { expect, jest, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { demoModel } from '../../../tools/test/shared-data.mjs';
import { Model } from './model.ts';

jest.setTimeout(300_000);

/** Megabytes of this process that no file backs: what mapped models bring in is the system's to keep or to drop. */
function anonymousMegabytes(): number {
  if (process.platform !== 'linux') return process.memoryUsage.rss() / 2 ** 20;
  return Number(/^RssAnon:\s+(\d+) kB$/mu.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024;
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

test('rounds of loading and disposing leave no memory behind', async () => {
  const round = async (): Promise<void> => {
    await using model = await Model.load(demoModel(), { weights: 'int4', contextLength: 64, threads: 1 });
    await model.generate([1, 2, 3], { maxTokens: 2 }).text;
  };
  const rounds = async (count: number): Promise<number> => {
    for (let i = 0; i < count; i++) await round();
    // A process with as large a heap as that of the tests collects late.
    collectGarbage();
    return anonymousMegabytes();
  };
  // Allocators and the pool settle in their own time: of four times fifty rounds, the calmest counts. A model that stays
  // behind keeps at least its 4-bit weights, 3 MiB: 150 MiB in each fifty.
  let before = await rounds(30);
  const growth: number[] = [];
  for (let i = 0; i < 4; i++) {
    const after = await rounds(50);
    growth.push(after - before);
    before = after;
  }
  expect(Math.min(...growth)).toBeLessThan(15);
});
