import { existsSync } from 'node:fs';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { EvaluationError, JournalError } from './errors.ts';
import { evaluate } from './evaluate.ts';
import { formatCsv, formatTable } from './format-results.ts';
import { lambada } from './tasks/lambada.ts';
import { piqa } from './tasks/piqa.ts';
import type { Task } from './tasks/task.ts';
import { wikitext } from './tasks/wikitext.ts';
import { toyScorer } from './toy-scorer.ts';

const passages = ['the cat sat on the mat', 'a dog ran to a tree', 'we saw it all day long', 'no one came'].map(
  (text) => ({ text }),
);
const task = lambada as Task;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'evaluate-'));
});
afterAll(() => rm(folder, { recursive: true }));

test('the same numbers whatever the concurrency, and those of a direct computation', async () => {
  const scorer = toyScorer();
  const [one, many] = await Promise.all(
    [1, 8].map((concurrency) => evaluate(scorer, [{ task, data: passages }], { concurrency })),
  );
  expect(one).toEqual(many);
  const sums = await Promise.all(
    passages.map(async ({ text }) => {
      const cut = text.lastIndexOf(' ');
      const [scores] = await scorer.score(scorer.encode(text.slice(0, cut)), [scorer.encode(text.slice(cut))]);
      return Array.from(scores?.logProbabilities ?? []).reduce((sum, value) => sum + value, 0);
    }),
  );
  const mean = sums.reduce((sum, value) => sum + value, 0) / sums.length;
  expect(one?.tasks[0]?.metrics['perplexity']?.value).toBeCloseTo(Math.exp(-mean), 10);
});

test('rolling perplexity per word and byte', async () => {
  const page = ' the cat sat ';
  const { tasks } = await evaluate(toyScorer(), [{ task: wikitext, data: [{ page }] }]);
  const metrics = tasks[0]?.metrics ?? {};
  // Three words and two empty pieces at the ends, as the harness counts.
  const nats = Math.log(metrics['word_perplexity']?.value ?? 0) * 5;
  expect(Math.log(metrics['byte_perplexity']?.value ?? 0) * 13).toBeCloseTo(nats, 10);
  expect((metrics['bits_per_byte']?.value ?? 0) * 13 * Math.LN2).toBeCloseTo(nats, 10);
});

test('an interrupted evaluation goes on where it stopped', async () => {
  const journal = join(folder, 'journal.jsonl');
  const stop = new AbortController();
  const run = evaluate(toyScorer(), [{ task, data: passages }], {
    journal,
    concurrency: 1,
    signal: stop.signal,
    onProgress: ({ done }) => {
      if (done === 2) stop.abort(new Error('enough'));
    },
  });
  await expect(run).rejects.toThrow('enough');
  await appendFile(journal, '{"key": "cut short by a k');

  const again = toyScorer();
  const resumed = await evaluate(again, [{ task, data: passages }], { journal });
  expect(again.calls).toHaveLength(2);
  expect(resumed).toEqual(await evaluate(toyScorer(), [{ task, data: passages }]));
  expect((await readFile(journal, 'utf8')).match(/"score"/g)).toHaveLength(4);

  const other = toyScorer();
  await evaluate(other, [{ task, data: passages }], { journal, modelName: 'another' });
  expect(other.calls).toHaveLength(4);
});

test('a longer evaluation takes over what a shorter one has scored', async () => {
  const journal = join(folder, 'growing.jsonl');
  await evaluate(toyScorer(), [{ task, data: passages }], { journal, limit: 3 });
  const scorer = toyScorer();
  const whole = await evaluate(scorer, [{ task, data: passages }], { journal });
  expect(scorer.calls).toHaveLength(1);
  expect(whole).toEqual(await evaluate(toyScorer(), [{ task, data: passages }]));
});

test('a journal that cannot be written is an error that names it', async () => {
  const journal = join(folder, 'a-file');
  await writeFile(journal, '');
  const run = evaluate(toyScorer(), [{ task, data: passages }], { journal: join(journal, 'journal.jsonl') });
  await expect(run).rejects.toThrow(JournalError);
});

// A device that is always full; only Linux has it.
(existsSync('/dev/full') ? test : test.skip)('a full disk ends an evaluation with an error that says so', async () => {
  const run = evaluate(toyScorer(), [{ task, data: passages }], { journal: '/dev/full' });
  await expect(run).rejects.toThrow(/ENOSPC.*goes on from there/);
});

test('a score that is no number names the document; nothing is silently averaged', async () => {
  const scorer = toyScorer();
  const broken = { ...scorer, score: () => Promise.resolve([{ logProbabilities: [Number.NaN], greedy: false }]) };
  await expect(evaluate(broken, [{ task, data: passages }])).rejects.toThrow(EvaluationError);
  await expect(evaluate(scorer, [{ task, data: [] }])).rejects.toThrow('the data set is empty');
});

test('data come from files beside their labels, and a missing file says which data set it is', async () => {
  await writeFile(
    join(folder, 'valid.jsonl'),
    '{"goal":"go","sol1":"a","sol2":"b"}\n{"goal":"do","sol1":"c","sol2":"d"}\n',
  );
  await writeFile(join(folder, 'valid-labels.lst'), '0\n1\n');
  const { tasks } = await evaluate(toyScorer(), [{ task: piqa, data: folder }]);
  expect(tasks[0]).toMatchObject({ task: 'piqa', documents: 2 });
  await writeFile(join(folder, 'valid-labels.lst'), '0\n');
  await expect(evaluate(toyScorer(), [{ task: piqa, data: folder }])).rejects.toThrow('1 labels for 2 rows');
  await expect(evaluate(toyScorer(), [{ task, data: folder }])).rejects.toThrow('EleutherAI/lambada_openai');
});

test('results as a table and as CSV', async () => {
  const { tasks } = await evaluate(toyScorer(), [{ task, data: passages }]);
  expect(formatTable(tasks).split('\n')[0]).toMatch(/^task +metric +better +value +error +documents$/);
  expect(formatTable(tasks)).toMatch(/^lambada_openai +perplexity +lower +[\d.]+ +± [\d.]+ +4$/m);
  expect(formatCsv(tasks).split('\n')).toHaveLength(3);
  expect(formatCsv(tasks)).toContain('lambada_openai,acc,');
});
