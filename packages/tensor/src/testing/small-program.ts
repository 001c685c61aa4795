import { Matrix } from '../matrix.ts';
import { packMatrix } from '../packing.ts';
import type { ProgramDescription } from '../program-description.ts';
import { llamaProgram } from './llama-program.ts';
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

const vocabularySize = 73;

/** A Llama of two layers with random weights, compiled by hand. */
export function smallProgram(options: SmallProgramOptions = {}): ProgramDescription {
  const { cache = 'f32', compute = 'f32', blocks = 16, maxTokens = 32, layers = 2, packed } = options;
  const random = randomGenerator(7);
  const values = (count: number, size: number): Float32Array =>
    Float32Array.from({ length: count }, () => (random() - 0.5) * size);
  const dense = (rows: number, columns: number): Matrix =>
    Matrix.fromFloat32(values(rows * columns, 3 / Math.sqrt(columns)), rows, columns);
  const weight = (rows: number, columns: number, kind: string): Matrix => {
    if (!packed || kind !== 'linear') return dense(rows, columns);
    const description = { format: packed, rows, columns, groupSize: 32 } as const;
    const codes = packedCase(description, random);
    for (const field of [codes.scales, codes.minima]) field?.forEach((x, i) => (field[i] = x / 16));
    return packMatrix(description, codes);
  };
  return llamaProgram({
    shape: { width: 64, heads: 4, kvHeads: 2, headDim: 16, inner: 96, vocabularySize, layers },
    maxTokens,
    blocks,
    cache,
    compute,
    weight,
    norm: (width) => values(width, 0.5).map((x) => x + 1),
    keyBias: (width) => values(width, 0.2),
  });
}

/** Token ids below the vocabulary's size, the same for the same seed. */
export function randomTokens(count: number, seed = 1): Int32Array {
  const random = randomGenerator(seed);
  return Int32Array.from({ length: count }, () => Math.floor(random() * vocabularySize));
}
