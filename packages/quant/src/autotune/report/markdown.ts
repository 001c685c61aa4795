import { trialColumns } from './trial-columns.ts';
import type { TuneReport } from './tune-report.ts';
import { verdictText } from './wording.ts';

/** The report as Markdown: verdict, trials, how to reproduce. */
export function tuneMarkdown(report: TuneReport): string {
  const { result } = report;
  const columns = trialColumns(report);
  const header = ['recipe', 'verdict', ...columns.map(({ title }) => title)];
  const rows = result.trials.map((trial) => [
    trial.name === result.best.name ? `**${trial.name}**` : trial.name,
    trial.reason ? `${trial.verdict}: ${trial.reason}` : trial.verdict,
    ...columns.map(({ text }) => text(trial)),
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
    ...exactLayers(report),
    `Reproduce: \`${report.command}\``,
    '',
    `Machine: ${report.machine}`,
    '',
  ].join('\n');
}

/** Layers of the best recipe that run in more than 8-bit activations. */
function exactLayers({ result: { best } }: TuneReport): string[] {
  const exact = best.layers.filter(({ compute }) => compute !== undefined);
  if (exact.length === 0) return [];
  return [`Kept exact: ${exact.map(({ weight, compute }) => `${weight} (${compute})`).join(', ')}`, ''];
}
