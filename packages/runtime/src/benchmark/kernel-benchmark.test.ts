import { expect, test } from '@jest/globals';
import { InvalidOptionError, threadCount } from '@llm/tensor';
import { benchmarkKernels } from './kernel-benchmark.ts';

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
    expect(r).toMatchObject({ family: 'matmul', shape: 'smollm2-135m up', format: 'bf16', bytes: 2 * 1536 * 576 });
    expect(r.operations).toBe(2 * r.rows * 1536 * 576);
    expect(r.fractionOfPeak).toBeCloseTo(r.operations / r.seconds.median / r.peak, 9);
    expect(r.fractionOfLimit).toBe(Math.max(r.fractionOfPeak, r.fractionOfReadBandwidth));
    expect(r.limit).toBe(r.bytes / r.readBandwidth > r.operations / r.peak ? 'reads' : 'arithmetic');
  }
});

test('an empty choice is a mistake', async () => {
  await expect(benchmarkKernels({ threads: 1, shapes: ['smollm2-135m up'], formats: ['int4'] })).rejects.toThrow(
    InvalidOptionError,
  );
});
