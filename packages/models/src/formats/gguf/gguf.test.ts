import { gguf } from '@huggingface/gguf';
import { afterAll, expect, test } from '@jest/globals';
import { LlmError, Storage } from '@llm/tensor';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { mutate, random } from '../../../../../tools/fuzz/mutate.mjs';
import { sharedData } from '../../../../../tools/test/shared-data.mjs';
import { CorruptFileError, UnsupportedFormatError } from '../../errors.ts';
import { openCheckpoint } from '../../open-checkpoint.ts';
import { dequantize } from './dequantize.ts';
import { readGgufHeader } from './header.ts';
import { writeGguf, type GgufEntry, type GgufEntryValue } from './write.ts';

const folder = mkdtempSync(join(tmpdir(), 'llm-gguf-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const path = join(folder, 'x.gguf');

const hidden = 64;
const metadata = new Map<string, GgufEntryValue>([
  ['general.architecture', { type: 'string', value: 'llama' }],
  ['llama.block_count', { type: 'u32', value: 1 }],
  ['llama.context_length', { type: 'u32', value: 128 }],
  ['llama.embedding_length', { type: 'u32', value: hidden }],
  ['llama.feed_forward_length', { type: 'u32', value: 96 }],
  ['llama.attention.head_count', { type: 'u32', value: 4 }],
  ['llama.attention.head_count_kv', { type: 'u32', value: 2 }],
  ['llama.attention.layer_norm_rms_epsilon', { type: 'f32', value: 1e-5 }],
  ['tokenizer.ggml.model', { type: 'string', value: 'llama' }],
  ['tokenizer.ggml.tokens', { type: 'strings', value: ['<unk>', '<s>', '</s>', 'a', '▁', '▁a'] }],
  ['tokenizer.ggml.scores', { type: 'f32s', value: [0, 0, 0, -2, -1, -0.5] }],
  ['tokenizer.ggml.token_type', { type: 'i32s', value: [2, 3, 3, 1, 1, 1] }],
  ['tokenizer.ggml.bos_token_id', { type: 'u32', value: 1 }],
  ['tokenizer.ggml.eos_token_id', { type: 'u32', value: 2 }],
  ['tokenizer.ggml.eot_token_id', { type: 'u32', value: 5 }],
  ['tokenizer.chat_template', { type: 'string', value: '{{ bos_token }}{{ messages[0].content }}' }],
]);

function tensor(name: string, ...shape: number[]): GgufEntry {
  const count = shape.reduce((product, size) => product * size, 1);
  const values = Float32Array.from({ length: count }, (_, i) => Math.fround(Math.sin(i + name.length)));
  return { name, type: 'F32', shape, data: () => new Uint8Array(values.buffer) };
}

const tensors: GgufEntry[] = [
  tensor('token_embd.weight', 6, hidden),
  tensor('output_norm.weight', hidden),
  tensor('blk.0.attn_norm.weight', hidden),
  tensor('blk.0.attn_q.weight', hidden, hidden),
  tensor('blk.0.attn_k.weight', 32, hidden),
  tensor('blk.0.attn_v.weight', 32, hidden),
  tensor('blk.0.attn_output.weight', hidden, hidden),
  tensor('blk.0.ffn_norm.weight', hidden),
  tensor('blk.0.ffn_gate.weight', 96, hidden),
  tensor('blk.0.ffn_up.weight', 96, hidden),
  tensor('blk.0.ffn_down.weight', hidden, 96),
];

test('a small model: configuration, weights in the order of the checkpoint, tokenizer, chat template', async () => {
  await writeGguf(path, metadata, tensors);
  using checkpoint = await openCheckpoint(path);
  expect(checkpoint.format).toBe('gguf');
  expect(checkpoint.config).toMatchObject({ hidden_size: 64, num_key_value_heads: 2, tie_word_embeddings: true });
  expect(checkpoint.eosTokenIds).toEqual([2, 5]);
  expect(checkpoint.bosTokenId).toBe(1);
  // Of the 4 heads of 16, row 2 i + half of the file is row i + 8 half of the checkpoint.
  const q = checkpoint.matrix('model.layers.0.self_attn.q_proj.weight').toFloat32();
  const stored = new Float32Array(((await tensors[3]?.data()) as Uint8Array).buffer as ArrayBuffer);
  for (let row = 0; row < 64; row++) {
    const channel = row % 16;
    const source = row - channel + 2 * (channel % 8) + Math.floor(channel / 8);
    expect(q.subarray(row * 64, row * 64 + 64)).toEqual(stored.subarray(source * 64, source * 64 + 64));
  }
  expect(checkpoint.read('model.layers.0.self_attn.q_proj.weight')).toEqual(q);
  expect(checkpoint.has('lm_head.weight')).toBe(true);
  expect(checkpoint.vector('model.norm.weight')).toHaveLength(64);
  expect(() => checkpoint.matrix('model.layers.1.mlp.up_proj.weight')).toThrow('model.layers.1.mlp.up_proj.weight');
  const tokenizer = await checkpoint.tokenizer();
  expect(tokenizer.encode('a')).toEqual([1, 5]);
  expect(tokenizer.decode([1, 5, 3, 2])).toBe('aa');
  expect(checkpoint.chatTemplate()?.render([{ role: 'user', content: 'hello' }])).toBe('<s>hello');
  checkpoint.checkFinite();
});

test('another reader finds what was written', async () => {
  await writeGguf(path, metadata, tensors);
  const other = await gguf(path, { allowLocalFile: true });
  const found = other.metadata as unknown as Record<string, unknown>;
  expect(found['llama.embedding_length']).toBe(hidden);
  expect(found['tokenizer.ggml.tokens']).toEqual(metadata.get('tokenizer.ggml.tokens')?.value);
  expect(found['tokenizer.chat_template']).toBe(metadata.get('tokenizer.chat_template')?.value);
  const seen = other.tensorInfos.map(({ name, shape, offset }) => [name, shape.map(Number).reverse(), Number(offset)]);
  const start = Math.min(...readGgufHeader(path).tensors.map(({ offset }) => offset));
  expect(seen).toEqual(readGgufHeader(path).tensors.map(({ name, shape, offset }) => [name, shape, offset - start]));
});

test('NaN in the weights is found when asked for', async () => {
  const bad = new Float32Array(hidden).fill(1);
  bad[7] = NaN;
  const entry: GgufEntry = {
    name: 'output_norm.weight',
    type: 'F32',
    shape: [hidden],
    data: () => new Uint8Array(bad.buffer),
  };
  await writeGguf(
    path,
    metadata,
    tensors.map((other) => (other.name === entry.name ? entry : other)),
  );
  using checkpoint = await openCheckpoint(path);
  expect(() => {
    checkpoint.checkFinite();
  }).toThrow('model.norm.weight holds NaN');
});

test('rows that do not fit the heads of the metadata are an error, not another model', async () => {
  const lying = new Map(metadata).set('llama.attention.head_count', { type: 'u32', value: 8 });
  await writeGguf(path, lying, tensors);
  await expect(openCheckpoint(path)).rejects.toThrow('self_attn.k_proj.weight');
});

function header(version: number, tensorCount: bigint, pairs: bigint, rest: Buffer = Buffer.alloc(0)): string {
  const start = Buffer.alloc(24);
  start.write('GGUF');
  start.writeUInt32LE(version, 4);
  start.writeBigUInt64LE(tensorCount, 8);
  start.writeBigUInt64LE(pairs, 16);
  writeFileSync(path, Buffer.concat([start, rest]));
  return path;
}

function text(value: string): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(value.length));
  return Buffer.concat([length, Buffer.from(value)]);
}

function u32(...values: number[]): Buffer {
  return Buffer.from(Uint32Array.from(values).buffer);
}

function u64(...values: bigint[]): Buffer {
  return Buffer.from(BigUint64Array.from(values).buffer);
}

function oneTensor(dimensions: bigint[], type: number, offset: bigint, name = 't'): Buffer {
  return Buffer.concat([text(name), u32(dimensions.length), u64(...dimensions), u32(type), u64(offset)]);
}

test.each<[string, () => string, string]>([
  ['another format', () => (writeFileSync(path, 'GGML and so on, for quite a while'), path), 'GGUF'],
  ['more tensors than bytes', () => header(3, 1n << 40n, 0n), 'do not fit'],
  ['more keys than bytes', () => header(3, 0n, 1n << 63n), 'do not fit'],
  [
    'a key longer than the file',
    () => header(3, 0n, 1n, Buffer.concat([u64(1n << 40n), Buffer.alloc(20)])),
    'do not fit',
  ],
  [
    'an unknown type of value',
    () => header(3, 0n, 1n, Buffer.concat([text('k'), u32(99, 0)])),
    'unknown type of value 99',
  ],
  [
    'a list longer than the file',
    () => header(3, 0n, 1n, Buffer.concat([text('k'), u32(9, 10), u64(1n << 50n)])),
    'do not fit',
  ],
  [
    'lists in lists in lists',
    () =>
      header(
        3,
        0n,
        1n,
        Buffer.concat([text('k'), u32(9), ...Array.from({ length: 9 }, () => Buffer.concat([u32(9), u64(1n)]))]),
      ),
    'nested',
  ],
  ['a truth value of 2', () => header(3, 0n, 1n, Buffer.concat([text('k'), u32(7), Buffer.of(2)])), 'neither'],
  ['a key twice', () => header(3, 0n, 2n, Buffer.concat([text('k'), u32(4, 1), text('k'), u32(4, 1)])), 'twice'],
  [
    'an alignment of 24',
    () => header(3, 0n, 1n, Buffer.concat([text('general.alignment'), u32(4, 24)])),
    'power of two',
  ],
  ['five dimensions', () => header(3, 1n, 0n, oneTensor([1n, 1n, 1n, 1n, 1n], 0, 0n)), '5 dimensions'],
  ['a dimension of 0', () => header(3, 1n, 0n, oneTensor([0n], 0, 0n)), 'dimension of 0'],
  ['a dimension of 2^60', () => header(3, 1n, 0n, oneTensor([1n << 60n], 0, 0n)), 'too large'],
  ['a product of 2^80', () => header(3, 1n, 0n, oneTensor([1n << 40n, 1n << 40n], 0, 0n)), 'too large'],
  ['an unknown type of tensor', () => header(3, 1n, 0n, oneTensor([32n], 77, 0n)), 'unknown type 77'],
  ['half a block', () => header(3, 1n, 0n, oneTensor([48n], 2, 0n)), 'no whole Q4_0 blocks'],
  ['an offset that is not aligned', () => header(3, 1n, 0n, oneTensor([32n], 0, 8n)), 'no multiple of 32'],
  ['a tensor that ends beyond the file', () => header(3, 1n, 0n, oneTensor([32n], 0, 0n)), 'the file ends here'],
  [
    'two tensors of one name',
    () => header(3, 2n, 0n, Buffer.concat([oneTensor([1n], 0, 0n), oneTensor([1n], 0, 32n), Buffer.alloc(200)])),
    'two tensors',
  ],
  [
    'two tensors in one place',
    () => header(3, 2n, 0n, Buffer.concat([oneTensor([9n], 0, 0n), oneTensor([9n], 0, 32n, 'u'), Buffer.alloc(200)])),
    'overlaps',
  ],
])('refuses %s', (_name, make, reason) => {
  const broken = make();
  expect(() => readGgufHeader(broken)).toThrow(CorruptFileError);
  expect(() => readGgufHeader(broken)).toThrow(reason);
});

test.each<[string, () => string, string]>([
  ['version 1', () => header(1, 0n, 0n), 'version 1'],
  ['big-endian files', () => header(3 << 24, 0n, 0n), 'big-endian'],
  ['kinds of blocks that are not read', () => header(3, 1n, 0n, oneTensor([256n], 16, 0n)), 'IQ2_XXS'],
])('says that it does not read %s', (_name, make, reason) => {
  const other = make();
  expect(() => readGgufHeader(other)).toThrow(UnsupportedFormatError);
  expect(() => readGgufHeader(other)).toThrow(reason);
});

test('every truncation of the header is noticed', async () => {
  await writeGguf(path, metadata, tensors);
  for (let length = readFileSync(path).length - 1; length > 0; length -= 1013) {
    truncateSync(path, length);
    expect(() => readGgufHeader(path)).toThrow(CorruptFileError);
  }
});

test('any damage is an error of ours or a model that can be read', async () => {
  await writeGguf(path, metadata, tensors);
  const sound = readFileSync(path);
  const headerEnd = 2200;
  const next = random(7);
  for (let round = 0; round < 300; round++) {
    writeFileSync(path, mutate(sound, next, 0, round % 3 === 0 ? sound.length : headerEnd));
    try {
      using checkpoint = await openCheckpoint(path);
      for (const name of checkpoint.tensors.keys()) checkpoint.read(name);
      await checkpoint.tokenizer();
    } catch (error) {
      if (!LlmError.isInstance(error)) throw error;
    }
  }
});

const smollm = sharedData('smollm2-135m-instruct', 'SmolLM2-135M-Instruct.Q4_1.gguf');
const index = sharedData('smollm2-135m-instruct', 'gguf-index.json');

(smollm && index ? test : test.skip)('every tensor of SmolLM2 as an independent reader sees it', () => {
  const known = JSON.parse(readFileSync(index as string, 'utf8')) as {
    readonly tensors: readonly {
      readonly name: string;
      readonly type: string;
      readonly shape: readonly number[];
      readonly offset: number;
      readonly bytes: number;
      readonly sha256: string;
      readonly f32_sha256: string;
    }[];
  };
  const found = new Map(readGgufHeader(smollm as string).tensors.map((tensor) => [tensor.name, tensor]));
  const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
  using storage = Storage.map(smollm as string);
  expect(found.size).toBe(known.tensors.length);
  for (const expected of known.tensors) {
    const tensor = found.get(expected.name);
    if (!tensor) throw new Error(`no ${expected.name}`);
    const { name, type, shape, offset, byteLength: bytes } = tensor;
    expect({ name, type: type.name, shape, offset, bytes }).toMatchObject({
      name,
      type: expected.type,
      shape: expected.shape,
      offset: expected.offset,
      bytes: expected.bytes,
    });
    const raw = storage.read(tensor.offset, tensor.byteLength);
    expect(hash(raw)).toBe(expected.sha256);
    expect(hash(new Uint8Array(dequantize(type, raw).buffer))).toBe(expected.f32_sha256);
  }
});

(smollm ? test : test.skip)('matrices of SmolLM2 hold exactly the weights', async () => {
  using checkpoint = await openCheckpoint(smollm as string);
  for (const name of ['self_attn.q_proj', 'self_attn.k_proj', 'mlp.down_proj']) {
    const weight = `model.layers.7.${name}.weight`;
    const matrix = checkpoint.matrix(weight);
    expect(matrix.format).toBe('int4-min');
    expect(Buffer.from(matrix.toFloat32().buffer).equals(Buffer.from(checkpoint.read(weight).buffer))).toBe(true);
    expect(checkpoint.conversions.get(weight)).toEqual({
      from: 'Q4_1',
      to: 'int4-min',
      lossless: true,
      largestError: 0,
    });
  }
  expect(checkpoint.matrix('lm_head.weight')).toBe(checkpoint.matrix('model.embed_tokens.weight'));
});
