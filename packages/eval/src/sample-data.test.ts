import { expect, test } from '@jest/globals';
import { Model } from '@llm/runtime';
import { demoModel } from '../../../tools/test/shared-data.mjs';
import { evaluate } from './evaluate.ts';
import { modelScorer } from './model-scorer.ts';
import { taskNamed, tasks } from './tasks/registry.ts';
import { readRows } from './datasets/read-rows.ts';
import { sampleData } from './sample-data.ts';

const documents: Readonly<Record<string, number>> = {
  lambada_openai: 6,
  hellaswag: 4,
  winogrande: 6,
  piqa: 6,
  arc_easy: 5,
  wikitext: 2,
};

test.each(tasks.map((task) => [task.name, task] as const))(
  '%s has samples in the form of its data set',
  async (name, task) => {
    const read = task.documents(await readRows(task, sampleData));
    expect(read).toHaveLength(documents[name] ?? 0);
    for (const document of read)
      for (const request of task.requests(document))
        if (request.kind === 'continuation') expect(request.continuation).toMatch(/^ /);
  },
);

test('the shipped model scores all of them, and finds their last words likelier than those of other passages', async () => {
  await using model = await Model.load(demoModel());
  const scorer = modelScorer(model);
  const result = await evaluate(
    scorer,
    tasks.map((task) => ({ task, data: sampleData })),
  );
  expect(result.tasks.map(({ task, documents: count }) => [task, count])).toEqual(Object.entries(documents));
  for (const { metrics } of result.tasks)
    for (const { value } of Object.values(metrics)) expect(Number.isFinite(value)).toBe(true);

  const task = taskNamed('lambada');
  const rows = await readRows(task, sampleData);
  const words = rows.map((row) => String(row['text']).split(' '));
  const swapped = words.map((list, i) => ({
    text: [...list.slice(0, -1), words[(i + 1) % words.length]!.at(-1)].join(' '),
  }));
  const other = await evaluate(scorer, [{ task, data: swapped }]);
  const perplexityOf = ({ tasks: [first] }: typeof result): number => first!.metrics['perplexity']!.value;
  expect(perplexityOf(result)).toBeLessThan(perplexityOf(other) / 2);
});
