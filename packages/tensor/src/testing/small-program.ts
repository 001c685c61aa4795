import { Matrix } from '../matrix.ts';
import { packMatrix } from '../packing.ts';
import type { Instruction, NormDescription, ProgramDescription } from '../program-description.ts';
import { packedCase, randomGenerator } from './random-matrix.ts';

export interface SmallProgramOptions {
  readonly cache?: 'f32' | 'f16' | 'bf16' | 'int8';
  readonly compute?: 'int8' | 'f32';
  readonly blocks?: number;
  readonly maxTokens?: number;
  readonly layers?: number;
  /** Pack the linears to this format. */
  readonly packed?: 'int4-sym' | 'int4-asym' | 'int4-min';
}

const [width, heads, kvHeads, headDim, inner, vocabularySize] = [64, 4, 2, 16, 96, 73];

/** A Llama of two layers with random weights, compiled by hand. */
export function smallProgram(options: SmallProgramOptions = {}): ProgramDescription {
  const { cache = 'f32', compute = 'f32', blocks = 16, maxTokens = 32, layers = 2, packed } = options;
  const random = randomGenerator(7);
  const values = (count: number, size: number): Float32Array =>
    Float32Array.from({ length: count }, () => (random() - 0.5) * size);
  const dense = (rows: number, columns: number): Matrix =>
    Matrix.fromFloat32(values(rows * columns, 3 / Math.sqrt(columns)), rows, columns);
  const weight = (rows: number, columns: number): Matrix => {
    if (!packed) return dense(rows, columns);
    const description = { format: packed, rows, columns, groupSize: 32 } as const;
    const codes = packedCase(description, random);
    for (const field of [codes.scales, codes.minima]) field?.forEach((x, i) => (field[i] = x / 16));
    return packMatrix(description, codes);
  };
  const norm = (): NormDescription => ({
    kind: 'rms',
    weight: values(width, 0.5).map((x) => x + 1),
    epsilon: 1e-5,
  });

  const positions = blocks * 64;
  const rope = new Float32Array(positions * headDim);
  for (let position = 0; position < positions; position++)
    for (let pair = 0; pair < headDim / 2; pair++) {
      const angle = position * 10000 ** ((-2 * pair) / headDim);
      rope.set([Math.cos(angle), Math.sin(angle)], position * headDim + 2 * pair);
    }

  const qkv = (heads + 2 * kvHeads) * headDim;
  // x, then qkv or gate, then the attention's result: each at a multiple of 16.
  const buffers = [
    { name: 'x', width, offset: 0, rows: 'tokens' },
    { name: 'qkv', width: qkv, offset: width, rows: 'tokens' },
    { name: 'attended', width: heads * headDim, offset: width + qkv, rows: 'tokens' },
    { name: 'gate', width: inner, offset: width, rows: 'tokens' },
    { name: 'last', width, offset: width, rows: 'outputs' },
    { name: 'logits', width: 80, offset: 2 * width, rows: 'outputs' },
  ] as const;
  const [x, qkvBuffer, attended, gate, last, logits] = [0, 1, 2, 3, 4, 5];
  const [k, v] = [heads * headDim, (heads + kvHeads) * headDim];

  const layer = (index: number): Instruction[] => [
    {
      op: 'linear',
      in: x,
      norm: norm(),
      compute: { type: compute },
      parts: [
        { name: `layers.${String(index)}.q`, weight: weight(k, width), out: { buffer: qkvBuffer, column: 0 } },
        {
          name: `layers.${String(index)}.k`,
          weight: weight(kvHeads * headDim, width),
          bias: values(kvHeads * headDim, 0.2),
          out: { buffer: qkvBuffer, column: k },
        },
        {
          name: `layers.${String(index)}.v`,
          weight: weight(kvHeads * headDim, width),
          out: { buffer: qkvBuffer, column: v },
        },
      ],
      epilogue: { kind: 'none' },
    },
    {
      op: 'attention',
      layer: index,
      heads,
      kvHeads,
      q: { buffer: qkvBuffer, column: 0, headStride: headDim },
      k: { buffer: qkvBuffer, column: k, headStride: headDim },
      v: { buffer: qkvBuffer, column: v, headStride: headDim },
      out: { buffer: attended, column: 0, headStride: headDim },
      scale: 1 / Math.sqrt(headDim),
      rope: { table: 0, style: 'half' },
    },
    {
      op: 'linear',
      in: attended,
      compute: { type: compute },
      parts: [{ name: `layers.${String(index)}.o`, weight: weight(width, width), out: { buffer: x, column: 0 } }],
      epilogue: { kind: 'add', residuals: [x] },
    },
    {
      op: 'linear',
      in: x,
      norm: norm(),
      compute: { type: compute },
      parts: [
        { name: `layers.${String(index)}.gate`, weight: weight(inner, width), out: { buffer: gate, column: 0 } },
        { name: `layers.${String(index)}.up`, weight: weight(inner, width), out: { buffer: gate, column: 0 } },
      ],
      epilogue: { kind: 'gated', activation: 'silu' },
    },
    {
      op: 'linear',
      in: gate,
      compute: { type: compute },
      parts: [{ name: `layers.${String(index)}.down`, weight: weight(width, inner), out: { buffer: x, column: 0 } }],
      epilogue: { kind: 'add', residuals: [x] },
    },
  ];

  const embedding = dense(vocabularySize, width);
  return {
    maxTokens,
    vocabularySize,
    buffers,
    rowFloats: 2 * width + qkv + 80,
    cache: { layers, kvHeads, keyDim: headDim, valueDim: headDim, type: cache, blockTokens: 64, blocks },
    ropeTables: [{ rotaryDim: headDim, values: rope }],
    instructions: [
      { op: 'embed', table: embedding, out: x },
      ...Array.from({ length: layers }, (_, index) => layer(index)).flat(),
      { op: 'outputs', in: x, out: last },
      {
        op: 'linear',
        in: last,
        norm: norm(),
        compute: { type: compute },
        parts: [{ name: 'head', weight: dense(vocabularySize, width), out: { buffer: logits, column: 0 } }],
        epilogue: { kind: 'none' },
      },
    ],
    logits,
    hidden: last,
  };
}

/** Token ids below the vocabulary's size, the same for the same seed. */
export function randomTokens(count: number, seed = 1): Int32Array {
  const random = randomGenerator(seed);
  return Int32Array.from({ length: count }, () => Math.floor(random() * vocabularySize));
}
