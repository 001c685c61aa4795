import { expect, test } from '@jest/globals';

import { decodeElements, encodeFloats, floatToBfloat16, floatToHalf, halfToFloat } from './number-formats.ts';

test('float16 values of the standard', () => {
  const known: [number, number][] = [
    [0x3c00, 1],
    [0xc000, -2],
    [0x7bff, 65504],
    [0x0400, 2 ** -14],
    [0x0001, 2 ** -24],
    [0x3555, 0.333251953125],
    [0x7c00, Infinity],
    [0xfc00, -Infinity],
  ];
  for (const [bits, value] of known) {
    expect(halfToFloat(bits)).toBe(value);
    expect(floatToHalf(value)).toBe(bits);
  }
  expect(halfToFloat(0x7e01)).toBeNaN();
  expect(Object.is(halfToFloat(0x8000), -0)).toBe(true);
});

test('every float16 survives, and halves between two go to the even one', () => {
  const wrong: number[] = [];
  for (let bits = 0; bits < 65536; bits++) {
    const value = halfToFloat(bits);
    if (Number.isNaN(value)) continue;
    if (floatToHalf(value) !== bits) wrong.push(bits);
    if (bits % 0x8000 >= 0x7bff) continue;
    const middle = (value + halfToFloat(bits + 1)) / 2;
    if (floatToHalf(middle) !== (bits % 2 === 0 ? bits : bits + 1)) wrong.push(bits);
  }
  expect(wrong).toEqual([]);
  expect(floatToHalf(65519.99)).toBe(0x7bff);
  expect(floatToHalf(65520)).toBe(0x7c00);
  expect(floatToHalf(2 ** -25)).toBe(0);
  expect(floatToHalf(1.5 * 2 ** -25)).toBe(1);
});

test('bfloat16 keeps the upper half of float32, rounded to even', () => {
  expect(floatToBfloat16(1)).toBe(0x3f80);
  expect(floatToBfloat16(1 + 2 ** -8)).toBe(0x3f80);
  expect(floatToBfloat16(1 + 3 * 2 ** -8)).toBe(0x3f82);
  expect(floatToBfloat16(NaN) & 0x7fff).toBeGreaterThan(0x7f80);
  expect([...decodeElements('BF16', encodeFloats('BF16', Float32Array.of(-2.5, Infinity)))]).toEqual([-2.5, Infinity]);
});

test('the other types', () => {
  const bytes = (view: ArrayBufferView): Uint8Array => new Uint8Array(view.buffer);
  expect([...decodeElements('F64', bytes(Float64Array.of(1.5)))]).toEqual([1.5]);
  expect([...decodeElements('I64', bytes(BigInt64Array.of(-3n)))]).toEqual([-3]);
  expect([...decodeElements('U16', bytes(Uint16Array.of(65535)))]).toEqual([65535]);
  expect([...decodeElements('I8', Uint8Array.of(255))]).toEqual([-1]);
  // Examples of the OCP 8-bit floating point specification: largest, smallest and special values.
  expect([...decodeElements('F8_E4M3', Uint8Array.of(0x7e, 0x01, 0x38))]).toEqual([448, 2 ** -9, 1]);
  expect(decodeElements('F8_E4M3', Uint8Array.of(0x7f))[0]).toBeNaN();
  expect([...decodeElements('F8_E5M2', Uint8Array.of(0x7b, 0x01, 0x7c))]).toEqual([57344, 2 ** -16, Infinity]);
});

test('bytes that do not start at a multiple of the element size', () => {
  const odd = new Uint8Array(9);
  odd.set(new Uint8Array(Float32Array.of(3.25).buffer), 1);
  expect([...decodeElements('F32', odd.subarray(1, 5))]).toEqual([3.25]);
});
