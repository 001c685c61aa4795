import { expect, test } from '@jest/globals';
import type { KernelMeasurement } from '@llm/runtime';
import { kernelReport } from './kernel-report.ts';
import { rooflinePlot } from './roofline.ts';

const base: KernelMeasurement = {
  ...{ family: 'matmul', isa: 'avx2', kernel: 'rows', shape: 'a <b> & "c"', format: 'int4-sym', groupSize: 32 },
  ...{ compute: 'int8', rows: 1, context: null, bytes: 1e6, operations: 4e6, readBandwidth: 2e10, peak: 4e11 },
  ...{ seconds: { median: 1e-4, min: 9e-5, max: 2e-4 }, limit: 'reads' },
  ...{ fractionOfReadBandwidth: 0.5, fractionOfPeak: 0.1, fractionOfLimit: 0.5 },
};
const benchmark = {
  machine: { isa: 'avx2', features: [], threads: 1 },
  results: [
    base,
    { ...base, rows: 512, operations: 2e9, seconds: { median: 1e-2, min: 1e-2, max: 1e-2 } },
    { ...base, family: 'attention' as const, compute: 'f32' as const, context: 2048, peak: 1e11 },
    { ...base, family: 'blas' as const, compute: 'f32' as const, peak: 1e11 },
  ],
};

test('a plot has a mark for each measurement under a roof of its own, in both themes', () => {
  const svg = rooflinePlot(benchmark);
  expect(svg.match(/<title>/g)).toHaveLength(4);
  expect(svg).toContain('prefers-color-scheme: dark');
  expect(svg).toContain('0.40 T int8 peak');
  expect(svg).toContain('0.10 T f32 peak');
  expect(svg).toContain('20 GB/s read');
  expect(svg).toContain('a &lt;b> &amp; &quot;c&quot;, int4-sym g32, 1 row: 50 % of the limit');
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  // Twice the operations per byte in twice the operations per second: a point below the slope stays below it.
  const circles = [...svg.matchAll(/<circle class="mark int8" cx="([\d.]+)" cy="([\d.]+)" r="4.5"><title>/g)];
  expect(circles).toHaveLength(2);
  expect(Number(circles[1]![1])).toBeGreaterThan(Number(circles[0]![1]));
  expect(Number(circles[1]![2])).toBeLessThan(Number(circles[0]![2]));
});

test('the table has a line for each measurement with both shares', () => {
  const lines = kernelReport(benchmark).split('\n');
  expect(lines).toHaveLength(2 + 4);
  expect(lines[2]).toMatch(/avx2 +rows .*int4-sym g32 +int8 +1 .*0\.100 ms +10\.0 GB\/s +50 % .*50 % reads/);
});
