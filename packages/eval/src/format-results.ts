import type { TaskResult } from './aggregate.ts';
import type { Comparison } from './compare.ts';
import type { Perplexity } from './perplexity.ts';

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
  return aligned([['task', 'metric', 'better', 'value', 'error', 'documents'], ...rows]);
}

/** A comparison with a baseline as a table of plain text: what share of the quality is left, with its paired error. */
export function formatComparison(comparisons: readonly Comparison[]): string {
  const rows = comparisons.map(({ task, metric, baseline, candidate, kept, standardError }) => [
    task,
    metric,
    baseline.toFixed(4),
    candidate.toFixed(4),
    `${(kept * 100).toFixed(2)} %`,
    standardError === undefined ? '' : `± ${(standardError * 100).toFixed(2)} %`,
  ]);
  return aligned([['task', 'metric', 'baseline', 'this', 'kept', 'error'], ...rows]);
}

function aligned(lines: readonly (readonly string[])[]): string {
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

/** Results as comma-separated values, one metric a line; of a text's perplexity the windows are counted as documents. */
export function formatCsv(results: readonly TaskResult[], perplexity?: Perplexity): string {
  const rows = results.flatMap((result) =>
    Object.entries(result.metrics).map(([metric, { value, standardError, higherIsBetter }]) =>
      [result.task, metric, value, standardError ?? '', higherIsBetter, result.documents].join(','),
    ),
  );
  if (perplexity) {
    const { convention, value, standardError, windows } = perplexity;
    rows.push(['text', `perplexity ${convention}`, value, standardError ?? '', false, windows].join(','));
  }
  return ['task,metric,value,standard_error,higher_is_better,documents', ...rows].join('\n');
}
