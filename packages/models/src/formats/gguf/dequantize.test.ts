import { expect, test } from '@jest/globals';
import { packMatrix } from '@llm/tensor';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { dequantize } from './dequantize.ts';
import { regroup } from './regroup.ts';
import { ggufTypes, type GgufType } from './types.ts';

// Random blocks and their values, by the gguf package of PyPI: tools/fixtures/gguf-blocks.py.
const fixtures = JSON.parse(readFileSync(join(import.meta.dirname, 'fixtures/blocks.json'), 'utf8')) as Record<
  string,
  { readonly blocks: string; readonly values: string }
>;

function load(name: string): { readonly type: GgufType; readonly blocks: Uint8Array; readonly values: Float32Array } {
  const fixture = fixtures[name];
  const type = [...ggufTypes.values()].find((known) => known.name === name);
  if (!fixture || !type) throw new Error(`no ${name}`);
  const values = Uint8Array.from(Buffer.from(fixture.values, 'base64'));
  return { type, blocks: Buffer.from(fixture.blocks, 'base64'), values: new Float32Array(values.buffer) };
}

test.each(Object.keys(fixtures))('%s blocks hold what an independent reader finds in them', (name) => {
  const { type, blocks, values } = load(name);
  expect(values).toHaveLength(3 * type.values);
  // Zeros may differ in their sign.
  expect(dequantize(type, blocks).map((value) => value + 0)).toEqual(values.map((value) => value + 0));
});

test.each(['Q5_0', 'IQ4_NL', 'IQ4_XS', 'Q4_K'])('%s on a packed grid', (name) => {
  const { type, blocks, values } = load(name);
  const regrouped = regroup(type, blocks);
  if (!regrouped) throw new Error('no grid');
  const { format, plain, lossless } = regrouped;
  using matrix = packMatrix({ format, rows: 3, columns: type.values, groupSize: 32 }, plain);
  const found = matrix.toFloat32();
  if (lossless) expect(found).toEqual(values);
  // Scales and minima are rounded to float16: half of 2^-10 of each of the two terms.
  const largest = Math.max(...values.map(Math.abs));
  found.forEach((value, i) => {
    expect(Math.abs(value - (values[i] as number))).toBeLessThanOrEqual(2 * largest * 2 ** -10);
  });
  expect(lossless).toBe(name === 'Q5_0' || name === 'IQ4_NL');
});

test.each(['Q6_K', 'Q5_1', 'F16'])('%s has no packed grid', (name) => {
  const type = [...ggufTypes.values()].find((known) => known.name === name) as GgufType;
  expect(regroup(type, new Uint8Array(type.bytes))).toBeUndefined();
});
