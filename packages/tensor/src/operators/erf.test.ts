import { expect, test } from '@jest/globals';
import { erf } from './erf.ts';

// Abramowitz and Stegun 1964, table 7.1, and Python's math.erf.
test.each([
  [0, 0],
  [0.1, 0.1124629160182849],
  [0.5, 0.5204998778130465],
  [1, 0.8427007929497149],
  [2, 0.9953222650189527],
  [3.5, 0.9999992569016276],
  [-1.5, -0.9661051464753108],
  [40, 1],
])('erf(%d)', (x, expected) => {
  expect(Math.abs(erf(x) - expected)).toBeLessThan(2e-15);
});
