import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { expect, test } from '@jest/globals';
import { sharedData } from '../../../../tools/test/shared-data.mjs';
import { readRows } from '../datasets/read-rows.ts';
import { DataSetError } from '../errors.ts';
import { lambada } from './lambada.ts';
import { piqa } from './piqa.ts';
import { taskNamed, tasks } from './registry.ts';
import type { Request, Task } from './task.ts';
import { winogrande } from './winogrande.ts';

const folders: Record<string, string> = { wikitext: 'wikitext2' };

// lm-evaluation-harness keeps one hash per task over all its requests, documents shuffled by Python's Random(42).
for (const task of tasks) {
  const data = sharedData(folders[task.name] ?? task.name);
  const expected = sharedData('oracles', 'lm-eval-request-hashes.json');
  (data && expected ? test : test.skip)(`${task.name}: every request is the harness's`, async () => {
    const hashes = JSON.parse(await readFile(expected ?? '', 'utf8')) as Record<string, string>;
    expect(await requestHash(task, data ?? '')).toBe(hashes[task.name]);
  });
}

async function requestHash(task: Task, path: string): Promise<string> {
  const documents = task.documents(await readRows(task, path));
  pythonShuffle(documents, 42);
  const requests = documents.flatMap((document) => task.requests(document));
  // Its LAMBADA lists each request twice: once for each metric.
  const listed = task.name === 'lambada_openai' ? requests.flatMap((request) => [request, request]) : requests;
  return createHash('sha256')
    .update(pythonJson(listed.map(tuple)))
    .digest('hex');
}

function tuple(request: Request): string[] {
  return request.kind === 'rolling' ? [request.text] : [request.context, request.continuation];
}

function pythonJson(value: string[][]): string {
  const text = (item: string) =>
    JSON.stringify(item)
      .replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .replaceAll('\\u007f', '\x7f');
  return `[${value.map((items) => `[${items.map(text).join(', ')}]`).join(', ')}]`;
}

/** CPython's random.Random(seed).shuffle: MT19937 seeded by init_by_array, indices by rejection of getrandbits. */
function pythonShuffle(items: unknown[], seed: number): void {
  const state = new Uint32Array(624);
  state[0] = 19650218;
  for (let i = 1; i < 624; i++) state[i] = Math.imul(1812433253, state[i - 1]! ^ (state[i - 1]! >>> 30)) + i;
  let i = 1;
  for (let k = 624; k > 0; k--) {
    state[i] = (state[i]! ^ Math.imul(state[i - 1]! ^ (state[i - 1]! >>> 30), 1664525)) + seed;
    if (++i >= 624) {
      state[0] = state[623]!;
      i = 1;
    }
  }
  for (let k = 623; k > 0; k--) {
    state[i] = (state[i]! ^ Math.imul(state[i - 1]! ^ (state[i - 1]! >>> 30), 1566083941)) - i;
    if (++i >= 624) {
      state[0] = state[623]!;
      i = 1;
    }
  }
  state[0] = 0x80000000;
  let index = 624;
  const next = (): number => {
    if (index >= 624) {
      for (let k = 0; k < 624; k++) {
        const y = (state[k]! & 0x80000000) | (state[(k + 1) % 624]! & 0x7fffffff);
        state[k] = state[(k + 397) % 624]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      index = 0;
    }
    let y = state[index++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
  for (let last = items.length - 1; last > 0; last--) {
    const bits = 32 - Math.clz32(last + 1);
    let chosen = next() >>> (32 - bits);
    while (chosen > last) chosen = next() >>> (32 - bits);
    [items[last], items[chosen]] = [items[chosen], items[last]];
  }
}

test('a passage is cut before its last word', () => {
  const [document] = lambada.documents([{ text: 'He said that he was  late' }]);
  expect(lambada.requests(document!)).toEqual([
    { kind: 'continuation', context: 'He said that he was ', continuation: ' late' },
  ]);
});

test('both options of winogrande score the same ending', () => {
  const [document] = winogrande.documents([
    { sentence: 'Ann thanked Bea because _ had helped.', option1: 'Ann', option2: 'Bea', answer: '2' },
  ]);
  expect(winogrande.requests(document!)).toEqual([
    { kind: 'continuation', context: 'Ann thanked Bea because Ann', continuation: ' had helped.' },
    { kind: 'continuation', context: 'Ann thanked Bea because Bea', continuation: ' had helped.' },
  ]);
  const answers = [-3, -2].map((logProbability) => ({ logProbability, greedy: false }));
  expect(winogrande.score(document!, answers)).toEqual({ acc: 1 });
});

test('acc_norm divides by the length of the choice, acc does not; the first of equals wins', () => {
  const [document] = piqa.documents([{ goal: 'g', sol1: 'ab', sol2: 'abcdefgh', label: 1 }]);
  const answers = (...sums: number[]) => sums.map((logProbability) => ({ logProbability, greedy: false }));
  expect(piqa.score(document!, answers(-4, -8))).toEqual({ acc: 0, acc_norm: 1 });
  expect(piqa.score(document!, answers(-8, -8))).toEqual({ acc: 0, acc_norm: 1 });
  expect(piqa.score(document!, answers(-4, -16))).toEqual({ acc: 0, acc_norm: 0 });
});

test('a missing field, a hidden label and an unknown task are refused by name', () => {
  expect(() => piqa.documents([{ goal: 'g', sol1: 'a' }])).toThrow(
    new DataSetError('piqa', 0, "'sol2' must be a text; the row has: goal, sol1."),
  );
  expect(() => piqa.documents([{ goal: 'g', sol1: 'a', sol2: 'b', label: -1 }])).toThrow(/hidden labels/);
  expect(() => taskNamed('lambda')).toThrow(/lambada_openai/);
  expect(taskNamed('lambada')).toBe(lambada);
});
