import { Fields } from './fields.ts';
import { choiceRequests, multipleChoiceMetrics, scoreChoices, type MultipleChoiceDocument } from './multiple-choice.ts';
import type { Task } from './task.ts';

/** HellaSwag (Zellers et al., 2019): how a scene goes on. */
export const hellaswag: Task<MultipleChoiceDocument> = {
  name: 'hellaswag',
  description: 'how a scene goes on',
  primaryMetric: 'acc_norm',
  metrics: multipleChoiceMetrics,
  dataset: 'Rowan/hellaswag, validation',
  files: [
    'hellaswag_val_lmeval.jsonl.gz',
    'hellaswag.jsonl',
    'hellaswag_val.jsonl',
    'validation.jsonl',
    'validation.parquet',
  ],
  documents: (rows) =>
    rows.map((row, index) => {
      const fields = new Fields('hellaswag', row, index);
      if (fields.has('query')) {
        const choices = fields.texts('choices');
        return { query: fields.text('query'), choices, gold: fields.index('gold', choices.length) };
      }
      const context = `${fields.text('ctx_a')} ${capitalize(fields.text('ctx_b'))}`;
      const endings = fields.texts('endings');
      return {
        query: clean(`${fields.text('activity_label')}: ${context}`),
        choices: endings.map(clean),
        gold: fields.index('label', endings.length),
      };
    }),
  requests: choiceRequests,
  score: scoreChoices,
};

/** WikiHow's titles and marks taken out, each rule once and in this order. */
function clean(text: string): string {
  return text
    .trim()
    .replaceAll(' [title]', '. ')
    .replace(/\[.*?\]/g, '')
    .replaceAll('  ', ' ');
}

/** Python's: the first letter upper case, all others lower. */
function capitalize(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1).toLowerCase();
}
