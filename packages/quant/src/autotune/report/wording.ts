import type { TuneReport } from './tune-report.ts';

export function lossText(loss: number): string {
  const value = Math.abs(loss * 100);
  const digits = value < 0.1 ? 3 : 2;
  return `${loss > 0 ? '−' : '+'}${value.toFixed(digits)} %`;
}

export function scoreText(score: number): string {
  return Math.abs(score) < 10 ? score.toFixed(4) : score.toFixed(2);
}

export function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e8 ? 2 : 0);
}

/** One sentence that says how it ended. */
export function verdictText({ result, measure }: TuneReport): string {
  const { best, baseline, tolerance, passed } = result;
  const scores =
    best.evaluation === undefined ? '' : `: ${scoreText(best.evaluation.score)} against ${scoreText(baseline.score)}`;
  const loss = best.relativeLoss === undefined ? '' : ` (${lossText(best.relativeLoss)})`;
  const limit = `${(tolerance * 100).toFixed(tolerance < 0.01 ? 1 : 0)} %`;
  return passed
    ? `${best.name} is within ${limit} of the original${scores}${loss}, ${measure}.`
    : `No recipe that was tried is within ${limit} of the original. The closest is ${best.name}${scores}${loss}, ${measure}.`;
}
