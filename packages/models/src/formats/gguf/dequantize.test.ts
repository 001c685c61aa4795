import { expect, test } from '@jest/globals';
import { ggufMatrix, importGguf, importGgufAsync, Storage, type GgufBlockType } from '@llm/tensor';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { dequantize } from './dequantize.ts';
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

const lossless = ['Q4_0', 'Q4_1', 'Q5_0', 'Q8_0', 'IQ4_NL'];

const blockTypes = Object.keys(fixtures) as GgufBlockType[];

test('the kinds of blocks that are read are those that become matrices', () => {
  const read = [...ggufTypes.values()].filter(({ values }) => values > 1).map(({ name }) => name);
  expect(read.toSorted()).toEqual(blockTypes.toSorted());
  for (const name of ['F32', 'Q8_K', 'Q4_0 ']) expect(ggufMatrix(name, 3, 256)).toBeUndefined();
});

test.each(blockTypes)('%s as a matrix', async (name) => {
  const { type, blocks, values } = load(name);
  const storage = Storage.allocate(blocks.byteLength);
  storage.write(0, blocks);
  const { matrix, largestError } = importGguf(name, storage, 0, 3, type.values);
  const { format, groupSize } = matrix;
  expect(ggufMatrix(name, 3, type.values)).toEqual({
    ...{ format, rows: 3, columns: type.values },
    ...(groupSize !== undefined && { groupSize }),
  });
  const found = matrix.toFloat32();
  const differences = found.map((value, i) => Math.abs(value - (values[i] as number)));
  const largest = Math.max(...differences);
  if (lossless.includes(name)) expect([largest, largestError]).toEqual([0, 0]);
  // Scales and minima are rounded to float16: half of 2^-10 of each of the two terms.
  expect(largest).toBeLessThanOrEqual(2 * Math.max(...values.map(Math.abs)) * 2 ** -10);
  // Sums of float32 are rounded once more.
  expect(Math.abs(largestError - largest)).toBeLessThanOrEqual(Math.max(...values.map(Math.abs)) * 2 ** -22);
  const later = await importGgufAsync(name, storage, 0, 3, type.values, { rowOrder: Int32Array.of(2, 0, 1) });
  const [first, rest] = [found.subarray(0, 2 * type.values), found.subarray(2 * type.values)];
  expect(later.matrix.toFloat32()).toEqual(Float32Array.from([...rest, ...first]));
});
