import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { demoModel } from '../../../../../tools/test/shared-data.mjs';
import type { Checkpoint } from '../../checkpoint.ts';
import { encodeFloats, halfToFloat, type ElementType } from '../../number-formats.ts';
import { openCheckpoint } from '../../open-checkpoint.ts';
import { writeSafetensors, type SafetensorsEntry } from '../safetensors/write.ts';
import { packStream, unpackStream, wordCount } from './bits.ts';
import { awqLayout, compressedLayout, gptqLayout, type Layout } from './encode.ts';
import { dequantizeRows, type QuantizedCodes } from './linear.ts';

interface EncodedPart {
  readonly part: string;
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

function encode(layout: Layout, linear: QuantizedCodes, symmetric = false): readonly EncodedPart[] {
  expect(layout.obstacle({ ...linear, symmetric })).toBeUndefined();
  return layout.parts({ ...linear, symmetric }).map((part) => ({ ...part, bytes: part.bytes(linear) }));
}

const encodeGptq = (linear: QuantizedCodes): readonly EncodedPart[] => encode(gptqLayout, linear);
const encodeAwq = (linear: QuantizedCodes): readonly EncodedPart[] => encode(awqLayout, linear);

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'llm-quantized-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const config = JSON.parse(readFileSync(join(demoModel(), 'config.json'), 'utf8')) as Record<string, unknown>;
const weight = 'model.layers.0.mlp.up_proj.weight';

async function open(quantization: Record<string, unknown>, parts: readonly EncodedPart[]): Promise<Checkpoint> {
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, quantization_config: quantization }));
  const entries = parts.map(({ part, dtype, shape, bytes }): SafetensorsEntry => {
    return { name: weight.replace('weight', part), dtype, shape, data: () => bytes };
  });
  await writeSafetensors(join(folder, 'model.safetensors'), entries);
  return openCheckpoint(folder);
}

/** A linear with every code, zero point and a few odd scales in it. */
function linear(bits: number, rows: number, columns: number, groupSize: number, zero?: number): QuantizedCodes {
  const groups = Math.ceil(columns / groupSize);
  const top = 1 << bits;
  return {
    ...{ bits, rows, columns, groupSize },
    codes: Uint8Array.from({ length: rows * columns }, (_, i) => (i * 7 + Math.floor(i / columns)) % top),
    scales: Float32Array.from(
      { length: rows * groups },
      (_, i) => halfToFloat(0x2000 + i * 37) * (i % 3 === 0 ? -1 : 1),
    ),
    zeroPoints: Uint16Array.from({ length: rows * groups }, (_, i) => zero ?? (i * 5) % top),
  };
}

function part(name: string, dtype: 'I32', shape: readonly number[], values: readonly number[]): EncodedPart {
  return { part: name, dtype, shape, bytes: new Uint8Array(Uint32Array.from(values, (value) => value >>> 0).buffer) };
}

function scalesPart(shape: readonly number[], values: readonly number[]): EncodedPart {
  return { part: 'scales', dtype: 'F16', shape, bytes: encodeFloats('F16', Float32Array.from(values)) };
}

test('streams of fields: as the formats define them, and back', () => {
  const out = new Uint8Array(8);
  unpackStream(Uint32Array.of(0x76543210), 0, 1, 4, out, 0, 8);
  expect([...out]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  // 3 bits: value i at bit 3 i of a little-endian stream, so value 10 lies across the first two words.
  unpackStream(Uint32Array.of((0b11 << 30) >>> 0, 0b1), 0, 1, 3, new Uint8Array(11), 0, 11);
  const three = new Uint8Array(11);
  unpackStream(Uint32Array.of((0b11 << 30) >>> 0, 0b1), 0, 1, 3, three, 0, 11);
  expect(three[10]).toBe(7);
  fc.assert(
    fc.property(fc.constantFrom(2, 3, 4, 5, 6, 7, 8), fc.uint8Array({ minLength: 1, maxLength: 200 }), (bits, raw) => {
      const codes = raw.map((code) => code & ((1 << bits) - 1));
      const words = new Uint32Array(wordCount(codes.length, bits) * 2);
      packStream(codes, 0, 1, codes.length, bits, words, 1, 2);
      const back = new Uint8Array(codes.length);
      unpackStream(words, 1, 2, bits, back, 0, codes.length);
      expect(back).toEqual(codes);
    }),
  );
});

test('one group for a whole row is announced, and kept in a cache beside integers, as any other', async () => {
  using checkpoint = await open(
    { quant_method: 'gptq', bits: 4, group_size: -1, sym: false, checkpoint_format: 'gptq_v2' },
    [...encodeGptq(linear(4, 32, 64, 64)), part('ids', 'I32', [1, 16], new Array<number>(16).fill(3))],
  );
  const announced = checkpoint.describe(weight);
  expect(announced).toEqual({ format: 'int4-asym', rows: 32, columns: 64, groupSize: 64 });
  const matrix = checkpoint.matrix(weight);
  expect(checkpoint.describe(weight)).toEqual(announced);
  using kept = await openCheckpoint(folder, { cache: { folder: join(folder, 'cache') } });
  expect(kept.describe(weight)).toEqual(announced);
  expect(kept.matrix(weight).bytes()).toEqual(matrix.bytes());
});

test.each([2, 3, 4, 8])('GPTQ with %i bits', async (bits) => {
  const made = linear(bits, 32, 64, 32);
  using checkpoint = await open(
    { quant_method: 'gptq', bits, group_size: 32, sym: false, checkpoint_format: 'gptq_v2' },
    encodeGptq(made),
  );
  expect(checkpoint.format).toBe('gptq');
  expect([...checkpoint.tensors.keys()]).toEqual([weight]);
  expect(checkpoint.tensors.get(weight)).toMatchObject({ shape: [32, 64], dtype: `GPTQ ${bits} bit` });
  expect(checkpoint.read(weight)).toEqual(dequantizeRows(made, 0, 32));
  const matrix = checkpoint.matrix(weight);
  expect(checkpoint.describe(weight)).toMatchObject({ format: matrix.format, rows: 32, columns: 64 });
  if (bits <= 4) {
    expect(matrix.format).toBe(`int${bits}-asym`);
    expect(matrix.toFloat32()).toEqual(checkpoint.read(weight));
    expect(checkpoint.conversions.get(weight)).toMatchObject({ lossless: true, to: `int${bits}-asym` });
  } else {
    expect(matrix.format).toBe('f16');
    expect(checkpoint.conversions.get(weight)?.lossless).toBe(false);
  }
});

test('symmetric GPTQ, of either version and whatever the file says about it', async () => {
  const made = linear(4, 8, 64, 64, 8);
  const parts = encodeGptq(made).filter(({ part }) => part !== 'g_idx');
  const ones = parts.map((other) => (other.part === 'qzeros' ? part('qzeros', 'I32', [1, 1], [0x77777777]) : other));
  for (const stored of [parts, ones]) {
    for (const checkpoint_format of ['gptq', 'gptq_v2']) {
      using checkpoint = await open(
        { quant_method: 'gptq', bits: 4, group_size: -1, sym: true, checkpoint_format },
        stored,
      );
      expect(checkpoint.matrix(weight).format).toBe('int4-sym');
      expect(checkpoint.matrix(weight).toFloat32()).toEqual(dequantizeRows(made, 0, 8));
    }
  }
});

test('zero points of version 1: one less in every field, with or without a borrow', async () => {
  const zeros = [0, 1, 2, 3, 15, 8, 0, 7];
  const made = { ...linear(4, 8, 32, 32), zeroPoints: Uint16Array.from(zeros) };
  const masked = zeros.reduce((word, zero, i) => word + ((zero + 15) % 16) * 16 ** i, 0);
  const borrowed = Number(
    BigInt.asUintN(32, BigInt(zeros.reduce((word, zero, i) => word + zero * 16 ** i, 0)) - 0x11111111n),
  );
  expect(masked).not.toBe(borrowed);
  const gptq = { quant_method: 'gptq', bits: 4, group_size: 32, sym: false };
  for (const [word, quantization] of [
    [masked, gptq],
    [borrowed, { ...gptq, meta: { quantizer: ['gptqmodel:1.0.0'] } }],
    [borrowed, { quant_method: 'auto-round', bits: 4, group_size: 32, sym: false }],
  ] as const) {
    const parts = encodeGptq(made).map((other) =>
      other.part === 'qzeros' ? part('qzeros', 'I32', [1, 1], [word]) : other,
    );
    using checkpoint = await open(quantization, parts);
    expect(checkpoint.read(weight)).toEqual(dequantizeRows(made, 0, 8));
  }
});

test('act-order: groups that are no runs of inputs are kept as floats', async () => {
  const made = { ...linear(4, 8, 64, 32, 8), groupOf: Int32Array.from({ length: 64 }, (_, i) => i % 2) };
  using checkpoint = await open(
    { quant_method: 'gptq', bits: 4, group_size: 32, desc_act: true, checkpoint_format: 'gptq_v2' },
    encodeGptq(made),
  );
  expect(checkpoint.read(weight)).toEqual(dequantizeRows(made, 0, 8));
  expect(checkpoint.matrix(weight).format).toBe('f16');
  expect(checkpoint.conversions.get(weight)?.largestError).toBeLessThan(1e-3);
});

test('a short last group', async () => {
  const made = linear(4, 8, 48, 32);
  using checkpoint = await open(
    { quant_method: 'gptq', bits: 4, group_size: 32, sym: false, checkpoint_format: 'gptq_v2' },
    encodeGptq(made),
  );
  expect(checkpoint.matrix(weight).toFloat32()).toEqual(dequantizeRows(made, 0, 8));
});

test('AWQ: the interleaved order of AutoAWQ, and back', async () => {
  // Word 0x76543210: field i holds output [0, 2, 4, 6, 1, 3, 5, 7][i], so outputs 0..7 are 0 4 1 5 2 6 3 7.
  const words = [
    part(
      'qweight',
      'I32',
      [32, 1],
      Array.from({ length: 32 }, () => 0x76543210),
    ),
    part('qzeros', 'I32', [1, 1], [0]),
    scalesPart([1, 8], [1, 1, 1, 1, 1, 1, 1, 1]),
  ];
  using known = await open({ quant_method: 'awq', bits: 4, group_size: 32, version: 'GEMM' }, words);
  const values = known.read(weight);
  expect(Array.from({ length: 8 }, (_, output) => values[output * 32])).toEqual([0, 4, 1, 5, 2, 6, 3, 7]);
  known[Symbol.dispose]();

  const made = linear(4, 16, 64, 32);
  for (const quantization of [
    { quant_method: 'awq', bits: 4, group_size: 32, zero_point: true, version: 'gemm' },
    { quant_method: 'auto-round', bits: 4, group_size: 32, sym: false, packing_format: 'auto_round:auto_awq' },
  ]) {
    using checkpoint = await open(quantization, encodeAwq(made));
    expect(checkpoint.format).toBe('awq');
    expect(checkpoint.matrix(weight).toFloat32()).toEqual(dequantizeRows(made, 0, 16));
  }
});

test.each([true, false])('compressed-tensors, symmetric %s', async (symmetric) => {
  const made = linear(4, 24, 64, 32, symmetric ? 8 : undefined);
  const weights = { num_bits: 4, type: 'int', symmetric, strategy: 'group', group_size: 32 };
  using checkpoint = await open(
    {
      quant_method: 'compressed-tensors',
      format: 'pack-quantized',
      config_groups: { group_0: { targets: ['Linear'], weights } },
    },
    encode(compressedLayout, made, symmetric),
  );
  expect(checkpoint.format).toBe('compressed-tensors');
  expect(checkpoint.read(weight)).toEqual(dequantizeRows(made, 0, 24));
  expect(checkpoint.matrix(weight).format).toBe(symmetric ? 'int4-sym' : 'int4-asym');
  expect(checkpoint.matrix(weight).toFloat32()).toEqual(checkpoint.read(weight));
});

test('8 bits around the middle are the 8-bit grid', async () => {
  const made = linear(8, 32, 64, 32, 128);
  using checkpoint = await open(
    { quant_method: 'gptq', bits: 8, group_size: 32, checkpoint_format: 'gptq_v2' },
    encodeGptq(made),
  );
  expect(checkpoint.matrix(weight).format).toBe('int8');
  expect(checkpoint.conversions.get(weight)?.lossless).toBe(true);
});

const gptq = { quant_method: 'gptq', bits: 4, group_size: 32, checkpoint_format: 'gptq_v2' };
const sound = encodeGptq(linear(4, 8, 64, 32));

test.each<[string, Record<string, unknown>, readonly EncodedPart[], string]>([
  ['a layout of another kernel', { ...gptq, checkpoint_format: 'marlin' }, sound, 'marlin'],
  ['another AWQ layout', { quant_method: 'awq', version: 'gemv' }, sound, 'gemv'],
  ['an unknown AutoRound packing', { quant_method: 'auto-round', packing_format: 'x' }, sound, '"x"'],
  ['an unknown method', { quant_method: 'bitsandbytes' }, sound, 'bitsandbytes'],
  ['no scales', gptq, sound.filter(({ part }) => part !== 'scales'), 'up_proj.scales'],
  [
    'zero points of another shape',
    gptq,
    [...sound.filter(({ part }) => part !== 'qzeros'), part('qzeros', 'I32', [3, 1], [0, 0, 0])],
    '3 groups',
  ],
  [
    'bits that no shape gives',
    gptq,
    [...sound.filter(({ part }) => part !== 'qzeros'), part('qzeros', 'I32', [2, 3], [0, 0, 0, 0, 0, 0])],
    '12 bits',
  ],
  [
    'scales of integers',
    gptq,
    [...sound.filter(({ part }) => part !== 'scales'), part('scales', 'I32', [2, 8], Array<number>(16).fill(0))],
    'scales',
  ],
  ['a group size in words', { ...gptq, group_size: 'many' }, sound, 'group_size'],
  ['no groups', { quant_method: 'compressed-tensors' }, sound, 'config_groups'],
])('refuses %s', async (_name, quantization, parts, reason) => {
  await expect(open(quantization, parts)).rejects.toThrow(reason);
});

test('an input of a group that is not there', async () => {
  const parts = sound.map((other) =>
    other.part === 'g_idx' ? part('g_idx', 'I32', [64], Array<number>(64).fill(2)) : other,
  );
  using checkpoint = await open(gptq, parts);
  expect(() => checkpoint.read(weight)).toThrow('names group 2 of 2');
});
