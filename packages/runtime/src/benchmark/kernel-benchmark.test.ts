import { expect, test } from '@jest/globals';
import { InvalidOptionError, threadCount } from '@llm/tensor';
import { benchmarkKernels, judge } from './kernel-benchmark.ts';

test('each measurement has its time, its work and the nearer of the limits', async () => {
  const before = threadCount();
  const stages: number[] = [];
  const { machine, results } = await benchmarkKernels({
    threads: 1,
    isas: ['scalar'],
    shapes: ['smollm2-135m up'],
    formats: ['bf16'],
    rows: [1, 4],
    onProgress: ({ done }) => stages.push(done),
  });
  expect(machine.threads).toBe(1);
  expect(threadCount()).toBe(before);
  expect(stages[0]).toBe(0);
  expect(results.map(({ rows }) => rows)).toEqual([1, 4]);
  for (const r of results) {
    expect(r).toMatchObject({ family: 'matmul', shape: 'smollm2-135m up', format: 'bf16', bytes: 1_769_472 });
    expect(r.seconds.median).toBeGreaterThan(0);
  }
  expect(results.map(({ operations }) => operations)).toEqual([1_769_472, 7_077_888]);
});

// Figures that can be checked in the head: 2 GB at 20 GB/s are 0.1 s; 400 G operations at 1 T/s are 0.4 s.
test.each([
  [
    { bytes: 2e9, operations: 4e11 },
    0.5,
    { fractionOfReadBandwidth: 0.2, fractionOfPeak: 0.8, limit: 'arithmetic' },
    0.8,
  ],
  [
    { bytes: 2e9, operations: 4e9 },
    0.125,
    { fractionOfReadBandwidth: 0.8, fractionOfPeak: 0.032, limit: 'reads' },
    0.8,
  ],
  [{ bytes: 2e9, operations: 1e11 }, 0.1, { fractionOfReadBandwidth: 1, fractionOfPeak: 1, limit: 'arithmetic' }, 1],
] as const)('%j in %d s', (work, median, expected, ofLimit) => {
  const timed = {
    ...({ family: 'matmul', isa: 'avx2', kernel: 'rows', shape: 'some', format: 'int8', groupSize: 32 } as const),
    ...({ compute: 'int8', rows: 1, context: null, seconds: { median, min: median, max: median } } as const),
  };
  expect(judge({ ...timed, ...work }, { readBandwidth: 2e10, peak: 1e12 })).toMatchObject({
    ...expected,
    fractionOfLimit: ofLimit,
  });
});

test('an empty choice is a mistake', async () => {
  await expect(benchmarkKernels({ threads: 1, shapes: ['smollm2-135m up'], formats: ['int4'] })).rejects.toThrow(
    InvalidOptionError,
  );
});
