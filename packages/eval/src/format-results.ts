import type { TaskResult } from './aggregate.ts';

/** Results as a table of plain text, with standard errors. */
export function formatTable(results: readonly TaskResult[]): string {
  const rows = results.flatMap((result) =>
    Object.entries(result.metrics).map(([metric, { value, standardError, higherIsBetter }]) => [
      result.task,
      metric,
      higherIsBetter ? 'higher' : 'lower',
      value.toFixed(4),
      standardError === undefined ? '' : `± ${standardError.toFixed(4)}`,
      String(result.documents),
    ]),
  );
  const lines = [['task', 'metric', 'better', 'value', 'error', 'documents'], ...rows];
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length))) ?? [];
  return lines
    .map((line) =>
      line
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Results as comma-separated values, one metric a line. */
export function formatCsv(results: readonly TaskResult[]): string {
  const rows = results.flatMap((result) =>
    Object.entries(result.metrics).map(([metric, { value, standardError, higherIsBetter }]) =>
      [result.task, metric, value, standardError ?? '', higherIsBetter, result.documents].join(','),
    ),
  );
  return ['task,metric,value,standard_error,higher_is_better,documents', ...rows].join('\n');
}
