import { expect, test } from '@jest/globals';
import { UnknownOptionError } from './errors.ts';
import { checkOptions, nearestName } from './options.ts';

const allowed = ['groupSize', 'method', 'output', 'signal'];

test('known options and none at all pass', () => {
  checkOptions({ groupSize: 32, signal: undefined }, allowed, 'quantize()');
  checkOptions(undefined, allowed, 'quantize()');
});

test('an unknown option is refused, with the nearest known one', () => {
  expect(() => {
    checkOptions({ grupsize: 32 }, allowed, 'quantize()');
  }).toThrow(new UnknownOptionError('quantize()', 'grupsize', allowed, 'groupSize'));
  expect(() => {
    checkOptions({ temperature: 1 }, allowed, 'quantize()');
  }).toThrow('quantize() has no option temperature. It knows: groupSize, method, output, signal.');
});

test.each([
  ['group-size', 'groupSize'],
  ['Methd', 'method'],
  ['outptu', 'output'],
  ['x', undefined],
  ['', undefined],
])('the name nearest to %s is %s', (name, nearest) => {
  expect(nearestName(name, allowed)).toBe(nearest);
});
