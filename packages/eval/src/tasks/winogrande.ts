import { Fields } from './fields.ts';
import { indexOfLargest } from './multiple-choice.ts';
import type { Task } from './task.ts';

interface WinograndeDocument {
  /** The sentence up to the gap, with each option filled in. */
  readonly contexts: readonly [string, string];
  /** What follows the gap: the same for both. */
  readonly ending: string;
  readonly gold: number;
}

/**
 * WinoGrande XL (Sakaguchi et al., 2019) by partial evaluation: the option that makes the rest of the sentence likelier
 * (Trinh and Le, 2018).
 */
export const winogrande: Task<WinograndeDocument> = {
  name: 'winogrande',
  description: 'which of two names fits a gap',
  primaryMetric: 'acc',
  metrics: [{ name: 'acc', kind: 'mean', of: 'acc', higherIsBetter: true }],
  dataset: 'allenai/winogrande, winogrande_xl, validation',
  files: ['winogrande_xl_dev.jsonl', 'winogrande.jsonl', 'validation.jsonl', 'validation.parquet'],
  documents: (rows) =>
    rows.map((row, index) => {
      const fields = new Fields('winogrande', row, index);
      const sentence = fields.text('sentence');
      const gap = sentence.indexOf('_');
      if (gap < 0) throw fields.wrong('sentence', "a sentence with a gap '_'");
      const before = sentence.slice(0, gap);
      const answer = fields.text('answer');
      if (answer !== '1' && answer !== '2') throw fields.wrong('answer', "'1' or '2' (the test split hides it)");
      return {
        contexts: [before + fields.text('option1'), before + fields.text('option2')],
        ending: ` ${sentence.slice(gap + 1).trim()}`,
        gold: Number(answer) - 1,
      };
    }),
  requests: ({ contexts, ending }) =>
    contexts.map((context) => ({ kind: 'continuation', context, continuation: ending })),
  score: ({ gold }, answers) => ({
    acc: Number(indexOfLargest(answers.map((answer) => answer.logProbability)) === gold),
  }),
};
