import type { Trial } from '../trial.ts';
import { escapeHtml, scatter, type PlotPoint } from './scatter.ts';
import { trialColumns } from './trial-columns.ts';
import type { TuneReport } from './tune-report.ts';
import { lossText, megabytes, scoreText, verdictText } from './wording.ts';

/** The report as one page that needs nothing from elsewhere: verdict, plots, trials, layers, how to reproduce. */
export function tuneHtml(report: TuneReport): string {
  const { result } = report;
  const speed = result.trials.some((trial) => trial.millisecondsPerToken !== undefined);
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>INT4 for ${escapeHtml(report.model)}</title>
<style>${style}</style>
<main>
<header>
<p class="eyebrow">INT4 for ${escapeHtml(report.model)}</p>
<h1 class="${result.passed ? 'good' : 'bad'}">${result.passed ? 'Within tolerance' : 'Not within tolerance'}</h1>
<p class="lead">${escapeHtml(verdictText(report))}</p>
</header>
<dl class="facts">${facts(report)
    .map(([name, value]) => `<div><dt>${name}</dt><dd>${escapeHtml(value)}</dd></div>`)
    .join('')}</dl>
<section><h2>Loss and size</h2>${plot(report, (trial) => trial.bytes / 1e6, 'size, MB')}</section>
${speed ? `<section><h2>Loss and speed</h2>${plot(report, (trial) => trial.millisecondsPerToken ?? Number.NaN, 'ms per token')}</section>` : ''}
<section><h2>Trials</h2>${trialTable(report)}</section>
<section><h2>Layers of ${escapeHtml(result.best.name)}</h2>${layerMap(result.best)}</section>
${activationMap(report)}
<section><h2>Do it again</h2><pre>${escapeHtml(report.command)}</pre>
<p class="faint">${escapeHtml(report.machine)}; ${escapeHtml(report.date)}; ${(result.seconds / 60).toFixed(1)} minutes.</p></section>
</main>
</html>
`;
}

function facts({ result, readBandwidth }: TuneReport): [string, string][] {
  const { best, baseline } = result;
  const speed = best.millisecondsPerToken;
  // The weights of a token are nearly the file: what could be read in that time.
  const share = speed !== undefined && readBandwidth ? best.bytes / (speed / 1000) / readBandwidth : undefined;
  return [
    ['recipe', best.name],
    ['loss', best.relativeLoss === undefined ? 'not measured' : lossText(best.relativeLoss)],
    ['score', `${best.evaluation ? scoreText(best.evaluation.score) : '?'} of ${scoreText(baseline.score)}`],
    ['size', `${megabytes(best.bytes)} MB`],
    ...(speed === undefined ? [] : ([['speed', `${(1000 / speed).toFixed(1)} tokens/s`]] as [string, string][])),
    ...(share === undefined ? [] : ([['of read bandwidth', `${(share * 100).toFixed(0)} %`]] as [string, string][])),
    ['trials', String(result.trials.length)],
  ];
}

function plot({ result }: TuneReport, x: (trial: Trial) => number, xTitle: string): string {
  const points = result.trials.flatMap((trial): PlotPoint[] => {
    if (trial.relativeLoss === undefined || !Number.isFinite(x(trial))) return [];
    const kind = trial.name === result.best.name ? 'best' : trial.verdict === 'pass' ? 'pass' : 'fail';
    return [{ x: x(trial), y: trial.relativeLoss * 100, label: trial.name, kind }];
  });
  if (points.length === 0) return '<p class="faint">No trial was measured.</p>';
  // The best last, so that it is not covered.
  points.sort((a, b) => Number(a.kind === 'best') - Number(b.kind === 'best'));
  return `<figure>${scatter(points, { xTitle, yTitle: 'loss, %', limit: result.tolerance * 100 })}<figcaption>The line is the tolerance; below it a recipe passes. Filled: passes. Large: chosen.</figcaption></figure>`;
}

function trialTable(report: TuneReport): string {
  const { trials, best } = report.result;
  const columns = trialColumns(report);
  const rows = trials.map((trial) => {
    const cells = columns.map(({ text }) => `<td class="number">${text(trial)}</td>`);
    const note = trial.reason ? `<span class="faint">${escapeHtml(trial.reason)}</span>` : '';
    return `<tr class="${trial.name === best.name ? 'best' : ''}"><th>${escapeHtml(trial.name)}</th><td class="${trial.verdict}">${trial.verdict} ${note}</td>${cells.join('')}</tr>`;
  });
  const head = ['recipe', 'verdict', ...columns.map(({ title }) => title)];
  return `<div class="scroll"><table><thead><tr>${head.map((name) => `<th>${name}</th>`).join('')}</tr></thead><tbody>${rows.join('')}</tbody></table></div>`;
}

/** A row per kind of layer, a column per decoder block; the darker the greater the error, ringed where there are 8 bits. */
function layerMap({ layers }: Trial): string {
  const worst = Math.max(...layers.map(({ relativeError }) => relativeError), Number.MIN_VALUE);
  const cells = layers.map(({ weight, bits, groupSize, relativeError }): Cell => {
    const title = `${weight}: ${bits} bits, groups of ${groupSize}, error ${(relativeError * 100).toFixed(2)} %`;
    return { weight, title, share: relativeError / worst, ringed: bits > 4 };
  });
  return `${heatMap(cells)}<p class="faint">Relative error of the weights, darkest ${(worst * 100).toFixed(1)} %; ringed: more than 4 bits. Blocks from left to right.</p>`;
}

/** The same for the inputs of linears: how far 8 bits of activations are off, ringed where they are kept exact. */
function activationMap({ result: { best, activations = [] } }: TuneReport): string {
  if (activations.length === 0) return '';
  const computes = new Map(best.layers.map(({ weight, compute }) => [weight, compute]));
  // Outliers are some powers of ten above the others.
  const shade = (error: number): number => Math.min(1, Math.max(0, (Math.log10(Math.max(error, 1e-9)) + 6) / 6));
  const cells = activations.flatMap(({ weights, errors }) =>
    weights.map(({ weight }): Cell => {
      const compute = computes.get(weight) ?? 'int8';
      const title = `${weight}: 8 bits of its input change its output by ${(Math.sqrt(errors.int8) * 100).toFixed(2)} %; runs in ${compute}`;
      return { weight, title, share: shade(errors.int8), ringed: compute !== 'int8' };
    }),
  );
  return `<section><h2>Activations in 8 bits</h2>${heatMap(cells)}<p class="faint">Change of each layer’s output by rounding its input, from 0.1 % (light) to 100 % (dark); ringed: runs in more exact arithmetic.</p></section>`;
}

interface Cell {
  readonly weight: string;
  readonly title: string;
  /** From 0 to 1. */
  readonly share: number;
  readonly ringed: boolean;
}

function heatMap(cells: readonly Cell[]): string {
  const rows = new Map<string, string[]>();
  for (const { weight, title, share, ringed } of cells) {
    const kind = weight.replace(/^.*\.\d+\./, '').replace(/\.weight$/, '');
    const cell = `<span class="cell${ringed ? ' wide' : ''}" style="--share:${(share * 100).toFixed(0)}%" title="${escapeHtml(title)}"></span>`;
    rows.set(kind, [...(rows.get(kind) ?? []), cell]);
  }
  return [...rows]
    .map(([kind, row]) => `<div class="layers"><span>${escapeHtml(kind)}</span><div>${row.join('')}</div></div>`)
    .join('');
}

const style = `
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--faint:#667080;--rule:#e3e6ea;--accent:#0b6bcb;--good:#14794a;--bad:#b3261e;--panel:#f6f7f9}
@media (prefers-color-scheme:dark){:root{--ink:#e8eaed;--paper:#14171a;--faint:#9aa4b0;--rule:#2c3238;--accent:#6cb2ff;--good:#5fd39a;--bad:#ff8a80;--panel:#1c2024}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:60rem;margin:0 auto;padding:2rem 1.25rem 4rem}h1{font-size:2rem;line-height:1.2;margin:.2rem 0 .6rem}h2{font-size:1.15rem;margin:2.2rem 0 .8rem}
.good{color:var(--good)}.bad{color:var(--bad)}.eyebrow{margin:0;color:var(--faint)}.lead{font-size:1.1rem;max-width:46rem;margin:0}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.75rem;margin:1.5rem 0 0}.facts div{background:var(--panel);border-radius:.5rem;padding:.7rem .9rem}
dt{color:var(--faint);font-size:.85rem}dd{margin:0;font-weight:600}
figure{margin:0}figcaption,.faint{color:var(--faint);font-size:.85rem}svg{width:100%;height:auto;font-size:12px;fill:var(--faint)}
svg .grid{stroke:var(--rule)}svg .limit{stroke:var(--bad);stroke-dasharray:6 4;stroke-width:1.5}svg .pass{fill:var(--accent)}svg .best{fill:var(--good)}svg .fail{fill:none;stroke:var(--faint);stroke-width:1.5}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{padding:.4rem .6rem;border-bottom:1px solid var(--rule);text-align:left;white-space:nowrap}
td .faint{white-space:normal}thead th{color:var(--faint);font-weight:500}tbody th{font-weight:500}.number{text-align:right;font-variant-numeric:tabular-nums}tr.best th{color:var(--good);font-weight:700}td.pass{color:var(--good)}td.fail{color:var(--bad)}
.layers{display:flex;gap:.75rem;align-items:center;margin:.25rem 0}.layers>span{flex:0 0 10rem;font-size:.85rem;color:var(--faint);overflow:hidden;text-overflow:ellipsis}.layers>div{display:flex;flex-wrap:wrap;gap:3px}
.cell{width:16px;height:16px;border-radius:3px;background:color-mix(in srgb,var(--accent) var(--share),var(--panel))}.cell.wide{outline:2px solid var(--good);outline-offset:-2px}
pre{background:var(--panel);padding:.9rem;border-radius:.5rem;overflow-x:auto}
@media (max-width:32rem){.layers{flex-direction:column;align-items:flex-start;gap:.2rem}.layers>span{flex:none}svg{font-size:20px}}
`;
