import { Fields } from './fields.ts';
import { choiceRequests, multipleChoiceMetrics, scoreChoices, type MultipleChoiceDocument } from './multiple-choice.ts';
import type { Task } from './task.ts';

/** PIQA (Bisk et al., 2020): which of two ways reaches a physical goal. */
export const piqa: Task<MultipleChoiceDocument> = {
  name: 'piqa',
  description: 'which of two ways reaches a goal',
  primaryMetric: 'acc',
  metrics: multipleChoiceMetrics,
  dataset: 'baber/piqa, validation',
  // The published file keeps its labels beside it, in valid-labels.lst.
  files: ['piqa.jsonl', 'valid.jsonl', 'validation.jsonl', 'validation.parquet'],
  documents: (rows) =>
    rows.map((row, index) => {
      const fields = new Fields('piqa', row, index);
      return {
        query: `Question: ${fields.text('goal')}\nAnswer:`,
        choices: [fields.text('sol1'), fields.text('sol2')],
        gold: fields.index('label', 2),
      };
    }),
  requests: choiceRequests,
  score: scoreChoices,
};
