import type { Trial } from '../trial.ts';
import type { TuneReport } from './tune-report.ts';
import { lossText, megabytes, scoreText } from './wording.ts';

/** A figure of each trial, empty where it was not measured. */
export interface TrialColumn {
  readonly title: string;
  readonly text: (trial: Trial) => string;
}

/** The figures of the trials that every form of the report has. */
export function trialColumns({ result }: TuneReport): TrialColumn[] {
  const diverges = result.trials.some((trial) => trial.divergence !== undefined);
  return [
    { title: 'loss', text: ({ relativeLoss }) => (relativeLoss === undefined ? '' : lossText(relativeLoss)) },
    { title: 'score', text: ({ evaluation }) => (evaluation === undefined ? '' : scoreText(evaluation.score)) },
    { title: 'documents', text: ({ evaluation }) => evaluation?.documents?.length.toString() ?? '' },
    ...(diverges ? [{ title: 'KL', text: ({ divergence }: Trial) => divergence?.toExponential(2) ?? '' }] : []),
    { title: 'MB', text: ({ bytes }) => megabytes(bytes) },
    { title: 'ms per token', text: ({ millisecondsPerToken }) => millisecondsPerToken?.toFixed(2) ?? '' },
    {
      title: 'seconds',
      text: ({ quantizeSeconds, evaluateSeconds = 0 }) => (quantizeSeconds + evaluateSeconds).toFixed(1),
    },
  ];
}
