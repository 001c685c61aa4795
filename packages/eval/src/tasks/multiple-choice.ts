import type { Answer, DocumentScores, Metric, Request } from './task.ts';

/** A question whose answers are scored as continuations of one context. */
export interface MultipleChoiceDocument {
  readonly query: string;
  readonly choices: readonly string[];
  /** Index of the right choice. */
  readonly gold: number;
}

/** Accuracy by log-probability (acc) and by log-probability per character of the choice (acc_norm). */
export const multipleChoiceMetrics: readonly Metric[] = [
  { name: 'acc', kind: 'mean', of: 'acc', higherIsBetter: true },
  { name: 'acc_norm', kind: 'mean', of: 'acc_norm', higherIsBetter: true },
];

/** One request a choice; context and choice are joined by one space, which belongs to the choice. */
export function choiceRequests({ query, choices }: MultipleChoiceDocument): Request[] {
  return choices.map((choice) => ({ kind: 'continuation', context: query, continuation: ` ${choice}` }));
}

export function scoreChoices({ choices, gold }: MultipleChoiceDocument, answers: readonly Answer[]): DocumentScores {
  const sums = answers.map((answer) => answer.logProbability);
  // Characters as Python counts them: code points, without the joining space.
  const perCharacter = sums.map((sum, i) => sum / Math.max(1, Array.from(choices[i] ?? '').length));
  return { acc: Number(indexOfLargest(sums) === gold), acc_norm: Number(indexOfLargest(perCharacter) === gold) };
}

/** The first of equals, as numpy's argmax. */
export function indexOfLargest(values: readonly number[]): number {
  let best = 0;
  values.forEach((value, i) => {
    if (value > (values[best] ?? -Infinity)) best = i;
  });
  return best;
}
