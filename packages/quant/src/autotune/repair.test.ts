import { expect, test } from '@jest/globals';
import type { InputMeasurement } from './activations.ts';
import { repairs } from './repair.ts';
import type { Trial } from './trial.ts';

type Layer = Trial['layers'][number];

function trialOf(layers: readonly Layer[]): Trial {
  const recipe = { method: 'rtn', bits: 4, groupSize: 32 } as const;
  return { name: 'rtn', recipe, bytes: 1, weightError: 0.1, layers, quantizeSeconds: 0, verdict: 'fail' };
}

const layer = (weight: string, relativeError = 0.1, bits = 4): Layer => ({
  ...{ weight, bits, groupSize: 32, relativeError, bytesAfter: 1000 },
});

/** Linears that read one input: how far int8 is off, and their milliseconds together in int8 and float32. */
function input(weights: readonly string[], int8: number, times: readonly [number, number], bf16 = 0): InputMeasurement {
  const [fast, exact] = times.map((time) => time / weights.length) as [number, number];
  const now = { int8: fast, bf16: (fast + exact) / 2, f32: exact };
  // 8 bits take twice the time of 4 in int8, and no more than 4 in float32.
  const raised = { ...now, int8: 2 * fast };
  return { weights: weights.map((weight) => ({ weight, now, raised })), errors: { int8, bf16, f32: 0 } };
}

/** Of each repair, the layers that it changes and how. */
function found(trial: Trial, measured: readonly InputMeasurement[], objective: 'latency' | 'size' = 'latency') {
  return [...repairs(trial, measured, objective)].map(({ recipe }) =>
    (recipe.layers ?? []).map(({ match, bits, compute }) => [match, bits ?? '', compute ?? ''].join(' ').trim()),
  );
}

test('without measurements, 8 bits go where they take off the most error', () => {
  const trial = trialOf([layer('a'), layer('b', 0.3), layer('c', 0.05, 8)]);
  expect(found(trial, [])).toEqual([['b 8'], ['a 8', 'b 8']]);
});

test('outliers get float32, and all that reads them; what is merely rounded stays as it is', () => {
  const trial = trialOf([layer('gate'), layer('up'), layer('down')]);
  const measured = [input(['gate', 'up'], 0.4, [2, 4]), input(['down'], 1e-5, [1, 2])];
  const [first, ...more] = found(trial, measured, 'size');
  // Of stored bytes it costs nothing.
  expect(first).toEqual(expect.arrayContaining(['gate  f32', 'up  f32']));
  expect([first, ...more].flat().filter((text) => text?.startsWith('down') && text.includes('f32'))).toEqual([]);
});

test('of two outliers, that one first which takes off more for its milliseconds', () => {
  const trial = trialOf([layer('a', 0.001, 8), layer('b', 0.001, 8)]);
  // a takes off 0.5 for 9 ms, b 0.4 for 1 ms.
  const measured = [input(['a'], 0.5, [1, 10]), input(['b'], 0.4, [1, 2])];
  expect(found(trial, measured)).toEqual([['b  f32'], ['a  f32', 'b  f32']]);
});

test('bfloat16 where that is enough and the processor gains by it', () => {
  const trial = trialOf([layer('a', 0.001, 8)]);
  const [half] = found(trial, [input(['a'], 0.5, [1, 3], 1e-5)]).slice(0, 1);
  expect(half).toEqual(['a  bf16']);
  // No such instructions: it is float32 under another name.
  expect(found(trial, [input(['a'], 0.5, [1, 3], 0)])).toEqual([['a  f32']]);
});
