import type { TuneReport } from './tune-report.ts';
import { lossText, megabytes, scoreText, verdictText } from './wording.ts';

/** The report as Markdown: verdict, trials, how to reproduce. */
export function tuneMarkdown(report: TuneReport): string {
  const { result } = report;
  const diverges = result.trials.some((trial) => trial.divergence !== undefined);
  const header = [
    'recipe',
    'verdict',
    'loss',
    'score',
    'documents',
    ...(diverges ? ['KL'] : []),
    'MB',
    'ms per token',
    'seconds',
  ];
  const rows = result.trials.map((trial) => [
    trial.name === result.best.name ? `**${trial.name}**` : trial.name,
    trial.reason ? `${trial.verdict}: ${trial.reason}` : trial.verdict,
    trial.relativeLoss === undefined ? '' : lossText(trial.relativeLoss),
    trial.evaluation === undefined ? '' : scoreText(trial.evaluation.score),
    trial.evaluation?.documents?.length.toString() ?? '',
    ...(diverges ? [trial.divergence?.toExponential(2) ?? ''] : []),
    megabytes(trial.bytes),
    trial.millisecondsPerToken?.toFixed(2) ?? '',
    (trial.quantizeSeconds + (trial.evaluateSeconds ?? 0)).toFixed(1),
  ]);
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    `# INT4 for ${report.model}`,
    '',
    verdictText(report),
    '',
    line(header),
    line(header.map(() => '---')),
    ...rows.map(line),
    '',
    `Reproduce: \`${report.command}\``,
    '',
    `Machine: ${report.machine}`,
    '',
  ].join('\n');
}
