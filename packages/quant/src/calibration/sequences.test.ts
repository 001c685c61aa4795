import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { CalibrationError } from '../errors.ts';
import { drawSequences } from './sequences.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sequences-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const encode = (text: string): number[] => Array.from(text, (letter) => letter.charCodeAt(0));
const flat = (sequences: readonly Int32Array[]): number[] => sequences.flatMap((tokens) => [...tokens]);

test('documents are joined and cut; everything in order if everything is asked for', async () => {
  const documents = ['abcde', [1, 2, 3], Int32Array.of(4, 5, 6, 7)];
  const sequences = await drawSequences(documents, encode, { samples: 10, length: 4 });
  expect(flat(sequences)).toEqual([97, 98, 99, 100, 101, 1, 2, 3, 4, 5, 6, 7]);
  expect(sequences).toHaveLength(3);
});

test('a draw is decided by its seed, without repetition and in order', async () => {
  const documents = [Array.from({ length: 600 }, (_, i) => i)];
  const draw = async (seed: number): Promise<number[]> =>
    flat(await drawSequences(documents, encode, { samples: 20, length: 5, seed }));
  const first = await draw(1);
  expect(await draw(1)).toEqual(first);
  expect(await draw(2)).not.toEqual(first);
  expect(first).toHaveLength(100);
  expect(first).toEqual(first.toSorted((a, b) => a - b));
  expect(new Set(first).size).toBe(100);
  expect(Math.max(...first)).toBeGreaterThan(300);
});

test('text files, JSON lines and async iterables', async () => {
  await writeFile(join(folder, 'a.txt'), 'x'.repeat(70000));
  expect(await drawSequences(join(folder, 'a.txt'), encode, { samples: 1000, length: 100 })).toHaveLength(700);
  await writeFile(join(folder, 'a.jsonl'), '{"text":"abc"}\n\n{"tokens":[1,2,3]}\n');
  expect(flat(await drawSequences(join(folder, 'a.jsonl'), encode, { length: 3 }))).toEqual([97, 98, 99, 1, 2, 3]);
  async function* stream(): AsyncGenerator<string> {
    yield 'ab';
    await Promise.resolve();
    yield 'cd';
  }
  expect(flat(await drawSequences(stream(), encode, { length: 2 }))).toEqual([97, 98, 99, 100]);
});

test('too little text, odd lines and missing files say so', async () => {
  await expect(drawSequences(['abc'], encode, { length: 4 })).rejects.toThrow('has 3 tokens, and one sequence takes 4');
  await writeFile(join(folder, 'odd.jsonl'), '{"text":"abc"}\n{"txt":1}\n');
  await expect(drawSequences(join(folder, 'odd.jsonl'), encode)).rejects.toThrow('odd.jsonl, line 2');
  await expect(drawSequences(join(folder, 'none.txt'), encode)).rejects.toThrow(CalibrationError);
  await expect(drawSequences(['abc'], encode, { samples: 0 })).rejects.toThrow('samples=0');
  const reason = new Error('stop');
  await expect(drawSequences(['abc'], encode, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
});
