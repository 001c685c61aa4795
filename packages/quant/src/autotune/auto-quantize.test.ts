import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { QuantizeOptions } from '../quantize.ts';
import type { QuantizationReport } from '../report.ts';
import { OutputError } from '../errors.ts';
import { autoQuantize, type AutoQuantizeOptions, type TrialWorkers } from './auto-quantize.ts';
import type { Evaluation } from './evaluation.ts';
import { runTrial, type TrialTools } from './run-trial.ts';
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
    activations: () => Promise.resolve([]),
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

test('if activations have outliers, their layers get exact arithmetic; what was measured is not measured again', async () => {
  let measured = 0;
  const even = { int8: 1, bf16: 2, f32: 2 };
  const activations: AutoQuantizeOptions['activations'] = (_, { layers }) => {
    measured++;
    return Promise.resolve(
      layers.map(({ weight }) => ({
        weights: [{ weight, now: even, raised: even }],
        errors: { int8: weight === 'c' ? 0.5 : 1e-6, bf16: 0, f32: 0 },
      })),
    );
  };
  const evaluate = fakeEvaluate((recipe) =>
    recipe.layers?.some(({ match, compute }) => match === 'c' && compute === 'f32') ? 0 : 200,
  );
  const stop = new AbortController();
  const onTrial = ({ recipe }: Trial): void => {
    if (recipe.layers) stop.abort(new Error('killed'));
  };
  const options = { groupSizes: [32], activations, evaluate };
  await expect(tune({ ...options, onTrial, signal: stop.signal })).rejects.toThrow('killed');
  const result = await tune(options);
  expect(measured).toBe(1);
  expect(result.passed).toBe(true);
  expect(result.activations).toHaveLength(3);
  // At equal times 8 bits are free, and only outliers are worth time.
  expect(result.best.recipe.layers).toEqual(
    layerNames.map((match) => ({ match, bits: 8, scheme: 'sym', ...(match === 'c' && { compute: 'f32' }) })),
  );
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

test('what a recipe loses after a few documents counts: the best has passed on all of them', async () => {
  const late = async (
    target: { path: string; kind: 'baseline' | 'candidate' },
    { documents }: { documents: number | 'all' },
  ): Promise<Evaluation> => {
    const count = documents === 'all' ? 2000 : documents;
    const loses = target.path.includes('g128');
    const scores = Array.from({ length: count }, (_, i) => Number(!loses || i < 1500));
    return Promise.resolve({ score: scores.reduce((sum, s) => sum + s, 0) / count, documents: scores });
  };
  const { best, trials } = await tune({ evaluate: late, tolerance: 0.05 });
  expect(trials.map(({ verdict }) => verdict)).toEqual(['fail', 'pass']);
  expect(trials[0]?.relativeLoss).toBeCloseTo(0.25, 12);
  expect(best.recipe.groupSize).toBe(64);
  expect(best.evaluation?.documents).toHaveLength(2000);
});

test('a loss is that of the documents that were looked at, not beside the score of all', async () => {
  // The baseline is right in the first half of the documents only; the candidate loses nothing there.
  const evaluate = (_: unknown, { documents }: { documents: number | 'all' }): Promise<Evaluation> => {
    const count = documents === 'all' ? 2000 : documents;
    const scores = Array.from({ length: count }, (__, i) => Number(i < 1000));
    return Promise.resolve({ score: scores.reduce((sum, s) => sum + s, 0) / count, documents: scores });
  };
  const measure = (path: string): Promise<number> => Promise.resolve(path.includes('asym') ? 2 : 1);
  const { trials } = await tune({ evaluate, measure, groupSizes: [-1], schemes: ['sym', 'asym'], tolerance: 0.05 });
  // The second is slower, so that a look was enough.
  expect(trials.map(({ evaluation }) => evaluation?.documents?.length)).toEqual([2000, 256]);
  expect(trials.map(({ relativeLoss }) => relativeLoss)).toEqual([0, 0]);
});

test('a candidate without a score fails, and one with a score is closer', async () => {
  const evaluate = ({ path, kind }: { path: string; kind: string }): Promise<Evaluation> =>
    Promise.resolve({ score: kind === 'baseline' ? 1 : path.includes('g128') ? Number.NaN : 0.5 });
  const { passed, best, trials } = await tune({ evaluate, groupSizes: [128, 64], budget: { trials: 2 } });
  expect(passed).toBe(false);
  expect(trials[0]).toMatchObject({ verdict: 'fail', reason: 'scores NaN' });
  expect(best).toMatchObject({ recipe: { groupSize: 64 }, relativeLoss: 0.5 });
});

test('an output that exists is left alone; two runs on one output are one too many', async () => {
  await mkdir(join(folder, 'best'));
  await expect(tune({})).rejects.toThrow(OutputError);
  await rm(join(folder, 'best'), { recursive: true });
  const first = tune({ evaluate: async (...args) => (await setTimeout(200), fakeEvaluate(() => 0)(...args)) });
  await setTimeout(50);
  await expect(tune({})).rejects.toThrow(/is writing this/);
  expect((await first).passed).toBe(true);
});

test('an output that cannot be written is refused before anything is done', async () => {
  await writeFile(join(folder, 'file'), '');
  const calls: string[] = [];
  const run = tune({ output: join(folder, 'file', 'best'), evaluate: fakeEvaluate(() => 0, calls) });
  await expect(run).rejects.toThrow(OutputError);
  expect(calls).toEqual([]);
});

const groups = [256, 128, 64, 32];
/** Documents lost and milliseconds of each group size, for each of two schemes. */
const outcomes = fc.array(
  fc.record({ lost: fc.constantFrom(0, 10, 19, 21, 60, 400), speed: fc.integer({ min: 1, max: 3 }) }),
  {
    minLength: 8,
    maxLength: 8,
  },
);

function fromOutcomes(list: readonly { readonly lost: number; readonly speed: number }[]) {
  const at = (groupSize: number, asym: boolean) => list[groups.indexOf(groupSize) * 2 + Number(asym)]!;
  return {
    groupSizes: groups,
    schemes: ['sym', 'asym'] as const,
    evaluate: fakeEvaluate((recipe) => (recipe.layers ? 150 : at(recipe.groupSize, recipe.scheme === 'asym').lost)),
    measure: (path: string) => Promise.resolve(at(Number(/_g(\d+)_/.exec(path)?.[1]), path.includes('asym')).speed),
  };
}

const answer = ({ best, passed, trials }: { best: Trial; passed: boolean; trials: readonly Trial[] }) => ({
  best: best.name,
  passed,
  trials: trials.map(({ name, verdict }) => `${name} ${verdict}`),
});

test('whatever the outcomes: a failing recipe is never returned while a passing one was tried', async () => {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(outcomes, async (list) => {
      const { best, passed, trials } = await tune({ ...fromOutcomes(list), output: join(folder, `run${run++}`) });
      expect(passed).toBe(trials.some(({ verdict }) => verdict === 'pass'));
      expect(best.verdict === 'pass').toBe(passed);
      const rivals = trials.filter(({ verdict }) => verdict === 'pass');
      for (const { millisecondsPerToken } of rivals)
        expect(best.millisecondsPerToken).toBeLessThanOrEqual(millisecondsPerToken ?? 0);
    }),
    { numRuns: 15 },
  );
});

test('killed after any trial, the run that goes on comes to the same answer', async () => {
  const list = [400, 60, 60, 21, 21, 10, 19, 0].map((lost) => ({ lost, speed: 1 }));
  const whole = answer(await tune({ ...fromOutcomes(list), output: join(folder, 'whole') }));
  expect(whole.trials.length).toBeGreaterThan(3);
  for (let kill = 1; kill < whole.trials.length; kill++) {
    const stop = new AbortController();
    const output = join(folder, `killed${kill}`);
    let seen = 0;
    const onTrial = (): void => {
      if (++seen === kill) stop.abort(new Error('killed'));
    };
    await expect(tune({ ...fromOutcomes(list), output, signal: stop.signal, onTrial })).rejects.toThrow('killed');
    const made: QuantizeOptions[] = [];
    const resumed = await tune({ ...fromOutcomes(list), output, make: fakeMake(made) });
    expect(answer(resumed)).toEqual(whole);
    // Only what was left, and the best again if its folder was that of the run before.
    expect(made.length).toBeLessThanOrEqual(whole.trials.length - kill + 1);
  }
});

/** Workers in this process that take their time, each trial another. */
function workersOf(tools: TrialTools, parallel: number, started: string[] = [], aborted: string[] = []): TrialWorkers {
  return {
    parallel,
    run: async (request, signal) => {
      started.push(request.name);
      signal.addEventListener('abort', () => aborted.push(request.name));
      await setTimeout((started.length * 37) % 20, undefined, { signal });
      // Everything that a worker gets and gives goes through JSON.
      const trial = await runTrial(
        JSON.parse(JSON.stringify(request)) as typeof request,
        join(folder, `worker-${started.length}-${request.name.replaceAll(' ', '_')}`),
        tools,
        signal,
      );
      return JSON.parse(JSON.stringify(trial)) as Trial;
    },
  };
}

test('workers come to the answer that one process comes to, trial for trial', async () => {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(outcomes, fc.integer({ min: 1, max: 4 }), async (list, parallel) => {
      const options = fromOutcomes(list);
      const alone = await tune({ ...options, output: join(folder, `alone${run}`) });
      const workers = workersOf({ ...options, make: fakeMake() }, parallel);
      const shared = await tune({ ...options, workers, output: join(folder, `shared${run++}`) });
      expect({ best: shared.best.name, passed: shared.passed }).toEqual({
        best: alone.best.name,
        passed: alone.passed,
      });
      expect(shared.trials.map(({ name }) => name)).toEqual(alone.trials.map(({ name }) => name));
      expect(existsSync(join(shared.output, 'recipe.json'))).toBe(true);
    }),
    { numRuns: 10 },
  );
});

test('what workers tried in vain does not count, and is called off', async () => {
  const [started, aborted]: [string[], string[]] = [[], []];
  const options = fromOutcomes(groups.flatMap(() => [0, 0]).map((lost) => ({ lost, speed: 1 })));
  const workers = workersOf({ ...options, make: fakeMake() }, 4, started, aborted);
  const { trials } = await tune({ ...options, schemes: ['sym'], workers });
  expect(trials).toHaveLength(1);
  expect(started).toHaveLength(4);
  expect(aborted).toHaveLength(3);
});

test('no more trials than the budget allows are given to workers; a worker that fails ends the run', async () => {
  const started: string[] = [];
  const options = fromOutcomes(groups.flatMap(() => [400, 400]).map((lost) => ({ lost, speed: 1 })));
  const workers = workersOf({ ...options, make: fakeMake() }, 4, started);
  const { trials } = await tune({ ...options, workers, budget: { trials: 2 } });
  expect([trials.length, started.length]).toEqual([2, 2]);
  const broken: TrialWorkers = { parallel: 2, run: () => Promise.reject(new Error('lost its disk')) };
  await expect(tune({ ...options, workers: broken, output: join(folder, 'b') })).rejects.toThrow('lost its disk');
});
