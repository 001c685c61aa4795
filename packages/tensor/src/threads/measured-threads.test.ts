import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readThreads, threadsFile, tryThreads, writeThreads } from './measured-threads.ts';
import type { ThreadPlan } from './thread-plan.ts';

const plan: ThreadPlan = { threads: 4, spin: true, reasons: ['This process may use 8 logical processors.'] };

describe('the number that was fastest', () => {
  const speeds = (of: Record<number, number>) => (threads: number) => Promise.resolve(of[threads] ?? NaN);

  test('prompts and tokens apart', async () => {
    const measured = await tryThreads(4, 8, {
      prefill: speeds({ 2: 1, 4: 2, 8: 2.4 }),
      decode: speeds({ 2: 10, 4: 10.2, 8: 9 }),
    });
    // What is hardly faster is not worth its threads.
    expect(measured).toEqual({ prefill: 8, decode: 2 });
  });

  test('one processor leaves no choice', async () => {
    const tried: number[] = [];
    const one = (threads: number) => Promise.resolve(tried.push(threads));
    expect(await tryThreads(1, 1, { prefill: one, decode: one })).toEqual({ prefill: 1, decode: 1 });
    expect(tried).toEqual([1, 1]);
  });

  test('probes that find nothing leave the plan as it is', async () => {
    const nothing = () => Promise.resolve(0);
    expect(await tryThreads(4, 4, { prefill: nothing, decode: nothing })).toEqual({ prefill: 4, decode: 4 });
  });
});

describe('the file', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'llm-threads-'));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  test('gives back what was measured, on the same machine only', () => {
    const path = join(folder, 'new/threads.json');
    expect(readThreads(path, plan)).toBeUndefined();
    expect(writeThreads(path, plan, { prefill: 4, decode: 2 })).toBe(true);
    expect(readThreads(path, plan)).toEqual({ prefill: 4, decode: 2 });
    expect(readThreads(path, { ...plan, reasons: ['Its control group allows 2 CPUs of time.'] })).toBeUndefined();
  });

  test.each(['', '{', '[]', '{"prefill":0,"decode":1}', '{"prefill":1e9,"decode":1}', '"x"'])(
    '%p is no measurement',
    (text) => {
      const path = join(folder, 'damaged.json');
      writeFileSync(path, text);
      expect(readThreads(path, plan)).toBeUndefined();
    },
  );

  test('where nothing can be written nothing is thrown', () => {
    writeFileSync(join(folder, 'a-file'), '');
    expect(writeThreads(join(folder, 'a-file/threads.json'), plan, { prefill: 1, decode: 1 })).toBe(false);
  });

  test('is in the cache of the user', () => {
    expect(threadsFile({ LLM_CACHE: '/x' })).toBe(join('/x', 'threads.json'));
    expect(threadsFile({ XDG_CACHE_HOME: '/y' })).toBe(join('/y', 'llm', 'threads.json'));
    expect(threadsFile({})).toMatch(/\.cache.llm.threads\.json$/);
  });
});
