/** Weights keep their integers on the way through every format that has their grid, and nobody's rows change places. */
import { afterAll, expect, test } from '@jest/globals';
import { gguf as readGguf } from '@huggingface/gguf';
import { unpackMatrix } from '@llm/tensor';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { readTensors } from '../../../../tools/test/plain-safetensors.mjs';
import { demoModel } from '../../../../tools/test/shared-data.mjs';
import { floatToHalf, halfToFloat } from '../number-formats.ts';
import { openCheckpoint } from '../open-checkpoint.ts';
import { convert, type ConversionTarget } from './convert.ts';

const folder = mkdtempSync(join(tmpdir(), 'llm-round-trip-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const { abs, floor, min, trunc } = Math;
const BLOCK = 32;

/** The fixture of GPT-NeoX, with a tokenizer of 96 letters, which GGUF cannot do without. */
function neoxModel(): string {
  const fixture = join(import.meta.dirname, '../../fixtures/gpt-neox');
  const path = join(folder, 'neox');
  mkdirSync(path);
  for (const name of ['config.json', 'model.safetensors']) copyFileSync(join(fixture, name), join(path, name));
  const vocab = Object.fromEntries(Array.from({ length: 96 }, (_, id) => [String.fromCharCode(0x4e00 + id), id]));
  writeFileSync(join(path, 'tokenizer.json'), JSON.stringify({ model: { type: 'BPE', vocab, merges: [] } }));
  return path;
}

/** ggml's Q4_0 of a row: codes and float16 scales. */
function roundRow(row: Float32Array): { readonly codes: number[]; readonly scales: number[] } {
  const codes: number[] = [];
  const scales: number[] = [];
  for (let block = 0; block < row.length; block += BLOCK) {
    const values = row.subarray(block, block + BLOCK);
    const farthest = values.reduce((far, value) => (abs(value) > abs(far) ? value : far), 0);
    const scale = Math.fround(farthest / -8);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    scales.push(halfToFloat(floatToHalf(scale)));
    for (const value of values) codes.push(min(15, trunc(Math.fround(Math.fround(value * inverse) + 8.5))));
  }
  return { codes, scales };
}

interface Expected {
  readonly path: string;
  /** How many weights are on a grid. */
  readonly linears: number;
  /** A weight whose rows have another order in GGUF: under both names, and the row of the file that row r is. */
  readonly reordered: readonly { readonly name: string; readonly gguf: string; readonly rowInFile: RowOrder }[];
}

type RowOrder = (row: number) => number;

/** llama.cpp rotates neighbours, Hugging Face the halves of a head: row 2 i + p of a head is row p · half + i. */
const interleavedHeads: RowOrder = (row) => {
  const headSize = 32;
  const inHead = row % headSize;
  return row - inHead + 2 * (inHead % (headSize / 2)) + floor(inHead / (headSize / 2));
};

/** Hugging Face has [head][q, k, v][16], GGUF [q, k, v][head][16]. */
const joinedHeads: RowOrder = (row) => {
  const [heads, headSize] = [4, 16];
  const [head, part] = [floor(row / (3 * headSize)), floor(row / headSize) % 3];
  return (part * heads + head) * headSize + (row % headSize);
};

const models: Readonly<Record<string, Expected>> = {
  'the demo model': {
    path: demoModel(),
    linears: 5 * 7,
    reordered: ['q', 'k'].map((letter) => ({
      name: `model.layers.1.self_attn.${letter}_proj.weight`,
      gguf: `blk.1.attn_${letter}.weight`,
      rowInFile: interleavedHeads,
    })),
  },
  'GPT-NeoX': {
    path: neoxModel(),
    // Rows of 80 values are no whole blocks: those of dense_4h_to_h stay float16.
    linears: 2 * 3,
    reordered: [
      {
        name: 'gpt_neox.layers.1.attention.query_key_value.weight',
        gguf: 'blk.1.attn_qkv.weight',
        rowInFile: joinedHeads,
      },
    ],
  },
};

/** Packed weights by name, with their bytes. */
async function packedWeights(path: string): Promise<Map<string, unknown>> {
  using checkpoint = await openCheckpoint(path);
  const found = new Map<string, unknown>();
  for (const { name, shape } of checkpoint.tensors.values()) {
    if (shape.length !== 2 || /(?:embed|lm_head)/.test(name)) continue;
    const matrix = checkpoint.matrix(name);
    const bytes = Buffer.from(matrix.bytes()).toString('base64');
    if (matrix.groupSize !== undefined) found.set(name, { ...checkpoint.describe(name), bytes });
  }
  return found;
}

test.each(Object.entries(models))('%s from Hugging Face through all formats', async (name, expected) => {
  const step = async (source: string, to: ConversionTarget): Promise<string> => {
    const output = `${source === expected.path ? join(folder, name) : source}-${to}`;
    const { weights } = await convert(source, output, { to, ...(to === 'gguf' && { type: 'Q4_0' }) });
    const changed = weights.filter(({ from, largestError }) => from !== 'BF16' && largestError > 0);
    // Other formats want the embeddings dense, and 8 bits times a float16 are no float16.
    expect(changed.filter((weight) => !/(?:embed|lm_head)/.test(weight.name))).toEqual([]);
    return output;
  };
  const gguf = await step(expected.path, 'gguf');
  const packed = await step(gguf, 'packed');
  const first = await packedWeights(packed);
  expect(first.size).toBe(expected.linears);
  for (const target of ['gptq', 'awq', 'compressed-tensors', 'gguf'] as const) {
    const there = await step(packed, target);
    expect(await packedWeights(there)).toEqual(first);
    expect(await packedWeights(await step(there, 'packed'))).toEqual(first);
  }

  // The integers are those of ggml's rule in the rows of Hugging Face's file, and lie in the file where llama.cpp looks.
  const tensors = readTensors(expected.path);
  const { tensorInfos, tensorDataOffset } = await readGguf(gguf, { allowLocalFile: true });
  const file = readFileSync(gguf);
  using checkpoint = await openCheckpoint(packed);
  for (const { name: weight, gguf: nameInFile, rowInFile } of expected.reordered) {
    const { shape, data } = tensors.get(weight) ?? { shape: [0, 0], data: new Float32Array(0) };
    const [rows = 0, columns = 0] = shape;
    expect(rows).toBeGreaterThan(0);
    const { codes, scales } = unpackMatrix(checkpoint.matrix(weight));
    const groups = columns / BLOCK;
    const info = tensorInfos.find((tensor) => tensor.name === nameInFile);
    const begin = Number(tensorDataOffset + (info?.offset ?? 0n));
    const rowBytes = groups * 18;
    for (let row = 0; row < rows; row++) {
      const rounded = roundRow(data.subarray(row * columns, (row + 1) * columns));
      expect([...codes.subarray(row * columns, (row + 1) * columns)]).toEqual(rounded.codes);
      expect([...scales.subarray(row * groups, (row + 1) * groups)]).toEqual(rounded.scales);
      const stored = file.subarray(begin + rowInFile(row) * rowBytes);
      const found = rounded.scales.map((_, group) => halfToFloat(stored.readUInt16LE(group * 18)));
      expect(found).toEqual(rounded.scales);
    }
  }
});
