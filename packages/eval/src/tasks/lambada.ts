import { Fields } from './fields.ts';
import type { Task } from './task.ts';

interface LambadaDocument {
  readonly context: string;
  /** The last word, with the space before it. */
  readonly target: string;
}

/** LAMBADA (Paperno et al., 2016), OpenAI's detokenized test set: guess the last word of a passage. */
export const lambada: Task<LambadaDocument> = {
  name: 'lambada_openai',
  description: 'the last word of a passage',
  primaryMetric: 'acc',
  metrics: [
    { name: 'acc', kind: 'mean', of: 'acc', higherIsBetter: true },
    { name: 'perplexity', kind: 'perplexity', of: 'log_probability', higherIsBetter: false },
  ],
  dataset: 'EleutherAI/lambada_openai, test',
  files: ['lambada_openai.jsonl', 'lambada_test_en.jsonl', 'test.jsonl', 'test.parquet'],
  documents: (rows) =>
    rows.map((row, index) => {
      const fields = new Fields('lambada_openai', row, index);
      // Already cut, or the whole passage.
      if (fields.has('continuation'))
        return { context: fields.text('context'), target: ` ${fields.text('continuation')}` };
      const words = fields.text('text').split(' ');
      if (words.length < 2) throw fields.wrong('text', 'a passage of two words or more');
      return { context: words.slice(0, -1).join(' '), target: ` ${words.at(-1) ?? ''}` };
    }),
  requests: ({ context, target }) => [{ kind: 'continuation', context, continuation: target }],
  score: (_, [answer]) => ({
    acc: Number(answer?.greedy ?? false),
    log_probability: answer?.logProbability ?? Number.NaN,
  }),
};
