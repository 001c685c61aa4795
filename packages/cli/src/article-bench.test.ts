import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { articleBench, articleMarkdown, readLlamaBench, shapeFile } from './article-bench.ts';
import { BenchToolError } from './bench-tool-error.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'article-'));
});
afterAll(() => rm(folder, { recursive: true }));

const entries = [
  { n_prompt: 32, n_gen: 0, avg_ts: 64, stddev_ts: 1 },
  { n_prompt: 0, n_gen: 32, avg_ts: 20, stddev_ts: 1 },
];

test('rates of llama-bench become milliseconds; anything else is refused', () => {
  expect(readLlamaBench('x', JSON.stringify(entries), 32, 32)).toEqual({ firstToken: 500, nextToken: 50 });
  for (const wrong of [
    '',
    '{}',
    '[null]',
    JSON.stringify(entries.slice(1)),
    JSON.stringify([{ ...entries[0], avg_ts: 0 }]),
  ])
    expect(() => readLlamaBench('x', wrong, 32, 32)).toThrow(BenchToolError);
});

test('a table with both group sizes, and the other engine beside them', async () => {
  // Stands in for llama.cpp's program: prints what it would, for the arguments that it gets.
  const program = join(folder, 'llama-bench');
  await writeFile(program, `#!/bin/sh\n[ "$2" = model.gguf ] && [ "$6" = 32 ] && echo '${JSON.stringify(entries)}'\n`);
  await chmod(program, 0o755);
  const result = await articleBench({
    shapes: ['smollm2-135m'],
    groupSizes: [32, 128],
    threads: 1,
    rounds: 1,
    llamaBench: program,
    gguf: new Map([['smollm2-135m', 'model.gguf']]),
  });
  expect(result.rows.map(({ groupSize, turn }) => [groupSize, turn?.prompt, turn?.generate])).toEqual([
    [32, 32, 32],
    [128, 32, 32],
  ]);
  expect(result.llamaCpp).toEqual([{ shape: 'smollm2-135m', file: 'model.gguf', firstToken: 500, nextToken: 50 }]);
  const table = articleMarkdown(result).split('\n').slice(2);
  expect(table).toHaveLength(4);
  expect(table[2]).toMatch(/^\| smollm2-135m \| 32 \| 0\.\d+ \| .* \| 500\.0 \| 50\.0 \| model\.gguf \|$/);

  const broken = { shapes: ['smollm2-135m'], groupSizes: [], threads: 1, gguf: new Map([['smollm2-135m', 'other']]) };
  await expect(articleBench({ ...broken, llamaBench: program })).rejects.toThrow(BenchToolError);
  await expect(articleBench({ ...broken, llamaBench: join(folder, 'none') })).rejects.toThrow(/ENOENT/);
});

test('a shape that memory does not hold is a line that says so', () => {
  const row = { shape: 'gpt-neox-20b', groupSize: 32, skipped: { needed: 11.3 * 2 ** 30, free: 2 ** 31 } };
  const machine = { isa: 'avx2', threads: 1, node: 'v22' };
  expect(articleMarkdown({ machine, prompt: 32, generate: 32, rows: [row], llamaCpp: [] })).toContain(
    '| gpt-neox-20b | 32 | needs 11.3 GiB of memory; 2.00 GiB are free |',
  );
});

test('a file names its shape', () => {
  expect(shapeFile('llama-2-7b=a=b.gguf')).toEqual(['llama-2-7b', 'a=b.gguf']);
  expect(() => shapeFile('model.gguf')).toThrow(/shape=file/);
});
