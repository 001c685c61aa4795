import { expect, test } from '@jest/globals';
import { InvalidOptionError, type CpuInfo } from '@llm/tensor';
import { checkFilter, kernelCases } from './kernel-cases.ts';

const zen4: CpuInfo = {
  backend: 'native',
  features: [],
  isa: 'avx512_bf16',
  tables: [
    { isa: 'amx', runnable: false },
    ...['avx512_bf16', 'avx512_vnni', 'avx512f', 'avx2', 'scalar'].map((isa) => ({ isa, runnable: true })),
  ],
};

test('a quick run takes every format on the best table and every table on one format', () => {
  const { matmul, attention, blas } = kernelCases(zen4);
  const int8 = matmul.filter(({ compute }) => compute === 'int8');
  expect(new Set(int8.filter(({ isa }) => isa === 'avx512_vnni').map(({ weight }) => weight.format)).size).toBe(10);
  expect(new Set(int8.filter(({ weight }) => weight.format === 'int4-sym').map(({ isa }) => isa))).toEqual(
    new Set(['avx512_vnni', 'avx512f', 'avx2', 'scalar']),
  );
  // A table that takes its kernels from another one is not measured twice.
  expect(matmul.filter(({ isa }) => isa === 'avx512_bf16').every(({ compute }) => compute === 'bf16')).toBe(true);
  for (const { isa, rows } of matmul) expect(rows).toEqual(isa === 'scalar' ? [1, 4] : [1, 4, 8, 16, 512]);
  expect(new Set(attention.map(({ context }) => context))).toEqual(new Set([0, 2048, 8192]));
  expect(blas.map(({ call, sizes }) => `${call} ${sizes.join(' ')}`)).toEqual([
    'sgemm 512 1024 2048',
    'syrk 512 1024 2048',
    'cholesky 512 1024 2048',
  ]);
});

test('a full run is the product of everything', () => {
  const cases = kernelCases(zen4, { full: true });
  // Four tables, ten formats in two groupings, nine layers.
  expect(cases.matmul.filter(({ compute }) => compute === 'int8')).toHaveLength(4 * 10 * 2 * 9);
  expect(cases.matmul.length).toBeGreaterThan(5 * kernelCases(zen4).matmul.length);
});

test('filters keep what they name, and names that do not exist are refused', () => {
  const { matmul, attention } = kernelCases(zen4, { isas: ['avx2'], formats: ['int8'], full: true });
  expect(new Set(matmul.map(({ isa, weight }) => `${isa} ${weight.format}`))).toEqual(new Set(['avx2 int8']));
  expect(new Set(attention.map(({ cacheType }) => cacheType))).toEqual(new Set(['int8']));
  expect(kernelCases(zen4, { isas: ['scalar'] }).matmul.length).toBeGreaterThan(0);
  expect(() => {
    checkFilter(zen4, { isas: ['amx'] });
  }).toThrow(InvalidOptionError);
  expect(() => {
    checkFilter(zen4, { formats: ['int5'] });
  }).toThrow(/int4-sym/);
});
