import { expect, test } from '@jest/globals';
import type { Trial } from '../trial.ts';
import { tuneHtml } from './html.ts';
import { tuneJson } from './json.ts';
import { tuneMarkdown } from './markdown.ts';
import type { TuneReport } from './tune-report.ts';

const trial = (name: string, loss: number, verdict: Trial['verdict']): Trial => ({
  name,
  recipe: { method: 'rtn' },
  bytes: 60e6,
  weightError: 0.1,
  layers: [
    { weight: 'model.layers.0.mlp.up_proj.weight', bits: 8, groupSize: 32, relativeError: 0.02, bytesAfter: 100 },
  ],
  quantizeSeconds: 1,
  evaluation: { score: 0.5 * (1 - loss) },
  relativeLoss: loss,
  verdict,
  millisecondsPerToken: 4,
});

function report(passed: boolean): TuneReport {
  const trials = [trial('rtn w4 g128 sym', 0.03, 'fail'), trial('rtn w4 g32 <sym>', 0.005, passed ? 'pass' : 'fail')];
  return {
    model: 'a & b',
    measure: 'accuracy on lambada_openai',
    result: { passed, best: trials[1]!, baseline: { score: 0.5 }, tolerance: 0.01, trials, output: 'out', seconds: 90 },
    command: 'llm tune "a & b"',
    machine: 'two cores',
    readBandwidth: 30e9,
    date: '2026-11-24',
  };
}

test('says how it ended, with the numbers', () => {
  expect(tuneHtml(report(true))).toContain('Within tolerance');
  expect(tuneHtml(report(true))).toContain(
    'rtn w4 g32 &lt;sym&gt; is within 1 % of the original: 0.4975 against 0.5000 (−0.50 %)',
  );
  expect(tuneMarkdown(report(false))).toContain(
    'No recipe that was tried is within 1 % of the original. The closest is',
  );
});

test('the page asks nothing of the network and lets no name become markup', () => {
  const html = tuneHtml(report(true));
  expect(html).not.toMatch(/(src|href)=|url\(|@import/);
  expect(html).not.toContain('<sym>');
  expect(html).toContain('a &amp; b');
});

test('every trial is a row and a dot in both plots; 8 bits are marked', () => {
  const html = tuneHtml(report(true));
  expect(html.match(/<tr class/g)).toHaveLength(2);
  expect(html.match(/<circle/g)).toHaveLength(4);
  expect(html).toContain('cell wide');
  expect(tuneMarkdown(report(true))).toContain('| **rtn w4 g32 <sym>** | pass | −0.50 % | 0.4975 |');
});

test('how many documents decided is told, the scores of each are not; divergence has a column where it was measured', () => {
  const known = report(true);
  const trials = known.result.trials.map((one) => {
    return { ...one, evaluation: { score: 0.5, documents: [1, 0, 1] }, divergence: 0.25 };
  });
  const measured = { ...known, result: { ...known.result, trials, best: trials[1]! } };
  expect(tuneMarkdown(measured)).toContain('| 0.5000 | 3 | 2.50e-1 | 60.00 |');
  expect(tuneMarkdown(known)).not.toContain('KL');
  expect(tuneHtml(measured)).toContain('<th>KL</th>');
  const json = JSON.parse(tuneJson(measured)) as { result: { trials: { evaluation: { documents: number } }[] } };
  expect(json.result.trials.map(({ evaluation }) => evaluation.documents)).toEqual([3, 3]);
});

test('activations that were measured, and what is kept exact, are shown', () => {
  const { result, ...rest } = report(true);
  const weight = 'model.layers.0.mlp.up_proj.weight';
  const best = { ...result.best, layers: result.best.layers.map((layer) => ({ ...layer, compute: 'f32' as const })) };
  const even = { int8: 1, bf16: 1, f32: 1 };
  const activations = [{ weights: [{ weight, now: even, raised: even }], errors: { int8: 0.25, bf16: 0, f32: 0 } }];
  const shown = { ...rest, result: { ...result, best, activations } };
  expect(tuneHtml(report(true))).not.toContain('Activations in 8 bits');
  expect(tuneHtml(shown)).toContain(`${weight}: 8 bits of its input change its output by 50.00 %; runs in f32`);
  expect(tuneMarkdown(shown)).toContain(`Kept exact: ${weight} (f32)`);
});
