import { expect, test } from '@jest/globals';
import { roundToHalf } from './half.ts';

test('every half-precision number is itself, and midpoints go to the even neighbour', () => {
  const value = (bits: number): number => {
    const exponent = bits >> 10;
    const fraction = bits & 1023;
    return exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  };
  for (let bits = 0; bits < 31 * 1024 - 1; bits++) {
    const here = value(bits);
    const next = value(bits + 1);
    if (roundToHalf(here) !== here || roundToHalf(-here) !== -here) throw new Error(`${here} moved`);
    const middle = roundToHalf((here + next) / 2);
    if (middle !== (bits % 2 === 0 ? here : next)) throw new Error(`${(here + next) / 2} became ${middle}`);
  }
  expect(roundToHalf(65504)).toBe(65504);
});

test('beyond the range', () => {
  expect(roundToHalf(65519)).toBe(65504);
  expect(roundToHalf(65520)).toBe(Infinity);
  expect(roundToHalf(-1e9)).toBe(-Infinity);
  expect(roundToHalf(NaN)).toBeNaN();
  expect(roundToHalf(2 ** -26)).toBe(0);
});
