import type { TuneReport } from './tune-report.ts';

/** The report as JSON. Of the scores of single documents, thousands in each trial, only their number is told. */
export function tuneJson(report: TuneReport): string {
  return JSON.stringify(
    report,
    (key, value: unknown) => (key === 'documents' && Array.isArray(value) ? value.length : value),
    2,
  );
}
