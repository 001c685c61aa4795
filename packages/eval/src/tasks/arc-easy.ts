import { Fields } from './fields.ts';
import { choiceRequests, multipleChoiceMetrics, scoreChoices, type MultipleChoiceDocument } from './multiple-choice.ts';
import type { Row, Task } from './task.ts';

/** ARC-Easy (Clark et al., 2018): school science questions, three to five choices. */
export const arcEasy: Task<MultipleChoiceDocument> = {
  name: 'arc_easy',
  description: 'school science questions',
  primaryMetric: 'acc',
  metrics: multipleChoiceMetrics,
  dataset: 'allenai/ai2_arc, ARC-Easy, test',
  files: ['arc_easy_test.jsonl', 'arc_easy.jsonl', 'test.jsonl', 'test.parquet'],
  documents: (rows) =>
    rows.map((row, index) => {
      const fields = new Fields('arc_easy', row, index);
      if (fields.has('query')) {
        const choices = fields.texts('choices');
        return { query: fields.text('query'), choices, gold: fields.index('gold', choices.length) };
      }
      const options = row['choices'];
      if (typeof options !== 'object' || options === null) throw fields.wrong('choices', 'an object { text, label }');
      const inner = new Fields('arc_easy', options as Row, index);
      const gold = inner.texts('label').indexOf(fields.text('answerKey'));
      if (gold < 0) throw fields.wrong('answerKey', 'one of the labels of its choices');
      return { query: `Question: ${fields.text('question')}\nAnswer:`, choices: inner.texts('text'), gold };
    }),
  requests: choiceRequests,
  score: scoreChoices,
};
