import { expect, test } from '@jest/globals';
import { cpuInfo } from './cpu.ts';
import { InvalidArgumentError } from './errors.ts';
import { describeKernels } from './kernels.ts';

const shape = { rows: 4096, columns: 4096, groupSize: 32 };

test('few rows are decoded in registers, dense weights are computed in float32', () => {
  expect(describeKernels({ format: 'int4-sym', ...shape }, { rows: [1] })).toMatchObject([
    { rows: 1, isa: cpuInfo().isa, kernel: 'rows' },
  ]);
  expect(describeKernels({ format: 'int4-sym', ...shape }, { compute: 'f32' }).map(({ kernel }) => kernel)).toEqual([
    'float',
    'float',
    'float',
  ]);
  expect(describeKernels({ format: 'bf16', rows: 32, columns: 32 }, { rows: [1] })[0]?.reason).toMatch(/dense weights/);
});

test('the scalar table has one int8 kernel for any number of rows', () => {
  const choices = describeKernels({ format: 'int4-asym', ...shape }, { isa: 'scalar', rows: [1, 1000] });
  expect(choices.map(({ kernel }) => kernel)).toEqual(['rows', 'rows']);
});

test('a matrix that cannot be is refused', () => {
  expect(() => describeKernels({ format: 'int4-sym', ...shape, groupSize: 12 })).toThrow(InvalidArgumentError);
});
