import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { QuantizeOptions } from '../quantize.ts';
import type { QuantizationReport } from '../report.ts';
import { autoQuantize, type AutoQuantizeOptions } from './auto-quantize.ts';
import type { Evaluation } from './evaluation.ts';
import type { Trial } from './trial.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tune-'));
});
afterEach(() => rm(folder, { recursive: true }));

const layerNames = ['a', 'b', 'c'];

/** Stands in for quantizing: layers whose error grows with the group, `b` suffering most. */
function fakeMake(made: QuantizeOptions[] = []) {
  return async (_: string, options: QuantizeOptions): Promise<QuantizationReport> => {
    made.push(options);
    await mkdir(options.output, { recursive: true });
    await writeFile(join(options.output, 'recipe.json'), JSON.stringify(options));
    const layers = layerNames.map((weight) => {
      const bits = options.layers?.find(({ match }) => match === weight)?.bits ?? options.bits ?? 4;
      const error = ((options.groupSize ?? 32) / 1000) * (weight === 'b' ? 10 : 1) * (bits === 8 ? 0.01 : 1);
      return {
        ...{
          weight,
          method: 'rtn' as const,
          bits,
          groupSize: options.groupSize ?? 32,
          scheme: options.scheme ?? 'sym',
        },
        ...{ format: 'int4-sym' as const, rows: 10, columns: 10, relativeError: error, bytesBefore: 400 },
        bytesAfter: bits * 10 + 1000 / (options.groupSize ?? 32),
      };
    });
    const bytesAfter = layers.reduce((sum, layer) => sum + layer.bytesAfter, 0);
    return { output: options.output, layers, bytesBefore: 1200, bytesAfter, resumed: 0 };
  };
}

/** Accuracy over 2000 documents that falls with the group size; `lost` says how many a recipe loses. */
function fakeEvaluate(
  lost: (recipe: Required<Pick<QuantizeOptions, 'groupSize'>> & QuantizeOptions) => number,
  calls: string[] = [],
) {
  return async (
    { path, kind }: { path: string; kind: string },
    { documents }: { documents: number | 'all' },
  ): Promise<Evaluation> => {
    const recipe =
      kind === 'candidate'
        ? (JSON.parse(await readFile(join(path, 'recipe.json'), 'utf8')) as QuantizeOptions)
        : undefined;
    calls.push(`${kind} ${documents}`);
    const count = documents === 'all' ? 2000 : documents;
    const losses = recipe === undefined ? 0 : lost(recipe as never);
    // Losses are spread evenly over the documents.
    const scores = Array.from({ length: count }, (_, i) =>
      Number(Math.floor(((i + 1) * losses) / 2000) === Math.floor((i * losses) / 2000)),
    );
    return { score: scores.reduce((sum, s) => sum + s, 0) / count, documents: scores, complete: count === 2000 };
  };
}

function tune(options: Partial<AutoQuantizeOptions>) {
  return autoQuantize('source', {
    evaluate: fakeEvaluate(() => 0),
    make: fakeMake(),
    output: join(folder, 'best'),
    methods: ['rtn'],
    schemes: ['sym'],
    ...options,
  });
}

test('the cheapest recipe that passes wins, and costlier ones are not tried', async () => {
  const result = await tune({ evaluate: fakeEvaluate(({ groupSize }) => (groupSize === 128 ? 100 : 0)) });
  expect(result).toMatchObject({ passed: true, best: { recipe: { groupSize: 64 } } });
  expect(result.trials.map((trial) => trial.verdict)).toEqual(['fail', 'pass']);
  expect(existsSync(join(folder, 'best', 'recipe.json'))).toBe(true);
  expect(existsSync(join(folder, 'best.tune'))).toBe(false);
});

test('few documents decide a clear case; all decide a close one', async () => {
  const calls: string[] = [];
  await tune({ groupSizes: [32], evaluate: fakeEvaluate(() => 400, calls), budget: { trials: 1 } });
  expect(calls).toEqual(['baseline all', 'candidate 256']);
  calls.length = 0;
  const close = await tune({
    groupSizes: [32],
    evaluate: fakeEvaluate(() => 20, calls),
    output: join(folder, 'close'),
  });
  expect(calls).toEqual(['baseline all', 'candidate 256', 'candidate 1024', 'candidate all']);
  expect(close).toMatchObject({ passed: true, best: { relativeLoss: expect.closeTo(0.01, 6) } });
});

test('if nothing passes, the layers that suffer most get 8 bits', async () => {
  const result = await tune({
    groupSizes: [32],
    evaluate: fakeEvaluate((recipe) =>
      recipe.layers?.some(({ match, bits }) => match === 'b' && bits === 8) ? 0 : 200,
    ),
  });
  expect(result.passed).toBe(true);
  expect(result.best.recipe.layers).toEqual([{ match: 'b', bits: 8, scheme: 'sym' }]);
});

test('if nothing passes at all, the closest is returned, and said to have failed', async () => {
  const result = await tune({ evaluate: fakeEvaluate(({ groupSize }) => groupSize * 5) });
  expect(result.passed).toBe(false);
  expect(result.best.recipe.groupSize).toBe(32);
});

test('measured time decides between recipes that pass, whatever the order', async () => {
  // Per channel, both schemes store as many bits.
  const measure = (path: string): Promise<number> => Promise.resolve(basename(path).includes('asym') ? 1 : 2);
  for (const schemes of [
    ['sym', 'asym'],
    ['asym', 'sym'],
  ] as const) {
    const { best, trials } = await tune({ schemes, groupSizes: [-1], measure, output: join(folder, schemes.join()) });
    expect(trials).toHaveLength(2);
    expect(best).toMatchObject({ recipe: { scheme: 'asym' }, millisecondsPerToken: 1 });
  }
});

test('a rival of the same cost that diverges three times less makes a candidate hopeless', async () => {
  const result = await tune({
    groupSizes: [32],
    schemes: ['sym', 'asym'],
    evaluate: fakeEvaluate(() => 500),
    divergence: (path) => Promise.resolve(path.includes('asym') ? 1 : 0.1),
    budget: { trials: 2 },
  });
  expect(result.trials[1]).toMatchObject({ verdict: 'skipped', reason: expect.stringContaining('rtn w4 g32 sym') });
});

test("Intel's order: the first within tolerance, else the best score", async () => {
  const made: QuantizeOptions[] = [];
  const result = await tune({
    mode: 'neural-compressor',
    make: fakeMake(made),
    evaluate: fakeEvaluate(({ groupSize }) => (groupSize === 32 ? 0 : 100)),
  });
  expect(made.map(({ groupSize }) => groupSize)).toEqual([128, 64, 32]);
  expect(result.best.recipe.groupSize).toBe(32);
});

test('a killed run goes on without doing anything twice, and comes to the same answer', async () => {
  const made: QuantizeOptions[] = [];
  const evaluate = fakeEvaluate(({ groupSize }) => (groupSize === 32 ? 0 : 100));
  const stop = new AbortController();
  const killed = tune({
    make: fakeMake(made),
    evaluate,
    signal: stop.signal,
    onTrial: () => {
      stop.abort(new Error('killed'));
    },
  });
  await expect(killed).rejects.toThrow('killed');
  expect(made).toHaveLength(1);

  const resumed = await tune({ make: fakeMake(made), evaluate });
  const fresh = await tune({ evaluate, output: join(folder, 'fresh') });
  const names = (trials: readonly Trial[]) => trials.map(({ name, verdict }) => `${name} ${verdict}`);
  expect(names(resumed.trials)).toEqual(names(fresh.trials));
  expect(resumed.best.name).toBe(fresh.best.name);
  expect(made).toHaveLength(3);
});

test('an evaluation that throws or gives no number is an error that says so; the journal stays', async () => {
  const broken = () => Promise.reject(new Error('no data'));
  await expect(tune({ evaluate: broken })).rejects.toThrow('the evaluation of the source failed');
  await expect(tune({ evaluate: () => Promise.resolve({ score: Number.NaN }) })).rejects.toThrow('scores NaN');
  const later = fakeEvaluate(() => 0);
  const throwing = async (
    target: { path: string; kind: 'baseline' | 'candidate' },
    request: { documents: number | 'all' },
  ) => {
    if (target.kind === 'candidate') throw new Error('out of memory');
    return later(target, request);
  };
  await expect(tune({ evaluate: throwing })).rejects.toThrow('failed');
  expect(existsSync(join(folder, 'best.tune', 'journal.json'))).toBe(true);
});

test('a measure where lower is better', async () => {
  const evaluate = ({ path, kind }: { path: string; kind: string }): Promise<Evaluation> =>
    Promise.resolve({
      score: kind === 'baseline' ? 10 : path.includes('g128') ? 10.5 : 10.05,
      higherIsBetter: false,
    });
  const result = await tune({ evaluate });
  expect(result).toMatchObject({ passed: true, best: { recipe: { groupSize: 64 } } });
});

test('a budget of one trial ends with one', async () => {
  const result = await tune({ budget: { trials: 1 }, evaluate: fakeEvaluate(() => 500) });
  expect(result).toMatchObject({ passed: false, trials: [expect.anything()] });
});
