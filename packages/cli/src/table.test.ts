import { expect, test } from '@jest/globals';
import { table } from './table.ts';
import { bandwidth, bytes, duration, percent } from './units.ts';

test('columns of numbers stand to the right, others to the left', () => {
  expect(
    table([
      ['name', 'value'],
      ['a', '1.5 x'],
      ['long name', '12.25 x'],
    ]),
  ).toBe('name         value\na            1.5 x\nlong name  12.25 x');
  expect(
    table([
      ['key', 'value'],
      ['a', '1'],
      ['b', 'text'],
    ]),
  ).toBe('key  value\na    1\nb    text');
});

test('units as people read them', () => {
  expect([bytes(0), bytes(1536), bytes(20 * 2 ** 30)]).toEqual(['0 B', '1.50 KiB', '20.0 GiB']);
  expect([duration(0.25), duration(3.21), duration(75), duration(7300)]).toEqual([
    '250 ms',
    '3.2 s',
    '1 min 15 s',
    '2 h 2 min',
  ]);
  expect([bandwidth(31.24e9), percent(0.957)]).toEqual(['31.2 GB/s', '96 %']);
});
