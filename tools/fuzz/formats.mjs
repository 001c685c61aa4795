// Damages small models of every format and opens them: node tools/fuzz/formats.mjs [--count N] [--seed S] [--format NAME]
// Needs built packages (npm run build). Every damaged file is written: with TMPDIR in memory (/dev/shm) the disk has no part in it.
// Whatever happens must be an error of ours or a model that can be read: never a crash,
// a hang, or memory beyond bounds. What can be read must be the same by every way: matrices have the format and the shape that
// was announced, and the values that the plain readers find, up to the reported error. Prints one line per format and ends with
// status 1 if anything else was seen.
import { Buffer } from 'node:buffer';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { mutate, random } from './mutate.mjs';

const root = join(import.meta.dirname, '../..');
const models = await import(join(root, 'packages/models/dist/index.js'));
const { LlmError, packMatrix, Storage } = await import(join(root, 'packages/tensor/dist/index.js'));
const { writeGguf } = await import(join(root, 'packages/models/dist/formats/gguf/write.js'));
const { encodeBlocks } = await import(join(root, 'packages/models/dist/formats/gguf/quantize-blocks.js'));
const { ggufTypes } = await import(join(root, 'packages/models/dist/formats/gguf/types.js'));
const { gptqLayout, awqLayout, compressedLayout } = await import(
  join(root, 'packages/models/dist/formats/quantized/encode.js')
);

const { values: options } = parseArgs({
  options: {
    count: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '1' },
    format: { type: 'string' },
  },
});

/** Reading a small model that takes so much time of the CPU is a hang. */
const HANG_MS = 2000;
/** What opening a file may allocate at once besides twice its size: tables that the readers always make. */
const OWN_BYTES = 2 ** 20;
/** Growth of the process over a format's whole run that would mean that lengths are believed or memory is lost. */
const MAX_GROWTH_BYTES = 512 * 2 ** 20;

const folder = mkdtempSync(join(tmpdir(), 'llm-fuzz-'));
const hidden = 64;
const config = {
  ...{ model_type: 'llama', vocab_size: 8, hidden_size: hidden, intermediate_size: 64, num_hidden_layers: 1 },
  ...{ num_attention_heads: 2, num_key_value_heads: 2, head_dim: 32, tie_word_embeddings: true },
};
const linears = ['self_attn.q_proj', 'mlp.up_proj'].map((name) => `model.layers.0.${name}.weight`);

function values(count) {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(i));
}

function dense(name, shape) {
  const count = shape.reduce((product, size) => product * size, 1);
  return { name, dtype: 'BF16', shape, data: () => models.encodeFloats('BF16', values(count)) };
}

const vocabulary = [dense('model.embed_tokens.weight', [8, hidden]), dense('model.norm.weight', [hidden])];

function writeFolder(name, quantization) {
  const path = join(folder, name);
  mkdirSync(path);
  writeFileSync(
    join(path, 'config.json'),
    JSON.stringify({ ...config, ...(quantization && { quantization_config: quantization }) }),
  );
  writeFileSync(
    join(path, 'tokenizer.json'),
    JSON.stringify({ model: { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: ['a b'] } }),
  );
  return path;
}

async function safetensors() {
  const path = writeFolder('safetensors');
  const file = join(path, 'model.safetensors');
  await models.writeSafetensors(file, [...vocabulary, ...linears.map((name) => dense(name, [hidden, hidden]))]);
  return { open: path, file };
}

async function packed() {
  const path = writeFolder('packed', { quant_method: 'llm-packed', version: 1 });
  const shape = { format: 'int4-asym', rows: hidden, columns: hidden, groupSize: 32 };
  const plain = {
    codes: new Uint8Array(hidden * hidden).map((_, i) => i % 16),
    scales: values(hidden * 2),
    zeroPoints: new Uint8Array(hidden * 2).map((_, i) => i % 16),
  };
  const bytes = packMatrix(shape, plain).bytes();
  const entries = linears.map((name) => ({ name, dtype: 'U8', shape: [bytes.length], data: () => bytes }));
  const metadata = {
    [models.PACKED_METADATA]: JSON.stringify(Object.fromEntries(linears.map((name) => [name, shape]))),
  };
  const file = join(path, 'model.safetensors');
  await models.writeSafetensors(file, [...vocabulary, ...entries], { metadata });
  return { open: path, file };
}

async function quantized(name, layout, quantization) {
  const path = writeFolder(name, quantization);
  const linear = {
    ...{ bits: 4, rows: hidden, columns: hidden, groupSize: 32 },
    codes: new Uint8Array(hidden * hidden).map((_, i) => i % 16),
    scales: values(hidden * 2),
    zeroPoints: new Uint16Array(hidden * 2).map((_, i) => i % 16),
  };
  const entries = linears.flatMap((name) =>
    layout.parts({ ...linear, symmetric: false }).map((part) => ({
      ...{ name: name.replace('weight', part.part), dtype: part.dtype, shape: part.shape },
      data: () => part.bytes(linear),
    })),
  );
  const file = join(path, 'model.safetensors');
  await models.writeSafetensors(file, [...vocabulary, ...entries]);
  return { open: path, file };
}

function blockBytes(name) {
  return [...ggufTypes.values()].find((type) => type.name === name).bytes;
}

async function gguf() {
  const file = join(folder, 'model.gguf');
  const u32 = (value) => ({ type: 'u32', value });
  const metadata = new Map([
    ['general.architecture', { type: 'string', value: 'llama' }],
    ...Object.entries({
      ...{ block_count: 1, context_length: 64, embedding_length: hidden, feed_forward_length: 64 },
      ...{ 'attention.head_count': 2, 'attention.head_count_kv': 2 },
    }).map(([key, value]) => [`llama.${key}`, u32(value)]),
    ['llama.attention.layer_norm_rms_epsilon', { type: 'f32', value: 1e-5 }],
    ['tokenizer.ggml.model', { type: 'string', value: 'llama' }],
    ['tokenizer.ggml.tokens', { type: 'strings', value: ['<unk>', '<s>', '</s>', 'a', '▁', '▁a', 'b', '<0x0A>'] }],
    ['tokenizer.ggml.scores', { type: 'f32s', value: [0, 0, 0, -2, -1, -0.5, -3, 0] }],
    ['tokenizer.ggml.token_type', { type: 'i32s', value: [2, 3, 3, 1, 1, 1, 1, 6] }],
    ['tokenizer.ggml.bos_token_id', u32(1)],
    ['tokenizer.ggml.eos_token_id', u32(2)],
  ]);
  const tensor = (name, type, ...shape) => {
    const count = shape.reduce((product, size) => product * size, 1);
    return { name, type, shape, data: () => encodeBlocks(type, values(count)) };
  };
  await writeGguf(file, metadata, [
    tensor('token_embd.weight', 'Q8_0', 8, hidden),
    tensor('output_norm.weight', 'F32', hidden),
    tensor('blk.0.attn_q.weight', 'Q4_0', hidden, hidden),
    tensor('blk.0.ffn_up.weight', 'Q4_1', hidden, hidden),
    tensor('blk.0.ffn_down.weight', 'F16', hidden, hidden),
    // Kinds that are not written here: blocks of any bytes.
    ...['Q4_K', 'Q6_K', 'Q3_K', 'Q2_K', 'Q5_K', 'IQ4_XS'].map((type, i) => ({
      ...{ name: `blk.${i}.ffn_gate.weight`, type, shape: [8, 256] },
      data: () => new Uint8Array(8 * blockBytes(type)).map((_, j) => (j * 37) & 0x3b),
    })),
  ]);
  return { open: file, file };
}

function pytorch() {
  const path = writeFolder('pytorch');
  const file = join(path, 'pytorch_model.bin');
  writeFileSync(file, readFileSync(join(root, 'packages/models/src/formats/pytorch/fixtures/tensors.bin')));
  return { open: path, file };
}

async function sentencepiece() {
  const { open } = await safetensors();
  rmSync(join(open, 'tokenizer.json'));
  const file = join(open, 'tokenizer.model');
  const piece = (text, kind) =>
    Buffer.from([0x0a, text.length + 4, 0x0a, text.length, ...Buffer.from(text), 0x18, kind]);
  const pieces = [piece('<unk>', 2), piece('<s>', 3), piece('</s>', 3), piece('a', 1), piece('b', 1), piece('ab', 1)];
  writeFileSync(file, Buffer.concat([...pieces, Buffer.from([0x12, 0x02, 0x18, 0x02])]));
  return { open, file };
}

/** A file of a folder with sound weights. */
async function besideWeights(name) {
  const { open } = await safetensors();
  return { open, file: join(open, name) };
}

async function shardIndex() {
  const { open } = await safetensors();
  const file = join(open, 'model.safetensors.index.json');
  const names = [...vocabulary.map(({ name }) => name), ...linears];
  const weight_map = Object.fromEntries(names.map((name) => [name, 'model.safetensors']));
  writeFileSync(file, JSON.stringify({ metadata: { total_size: 1 }, weight_map }));
  return { open, file };
}

const group = { num_bits: 4, type: 'int', symmetric: false, strategy: 'group', group_size: 32 };
const formats = {
  safetensors,
  packed,
  gguf,
  pytorch,
  gptq: () =>
    quantized('gptq', gptqLayout, {
      quant_method: 'gptq',
      bits: 4,
      group_size: 32,
      sym: false,
      checkpoint_format: 'gptq_v2',
    }),
  awq: () => quantized('awq', awqLayout, { quant_method: 'awq', bits: 4, group_size: 32, version: 'gemm' }),
  'compressed-tensors': () =>
    quantized('compressed', compressedLayout, {
      ...{ quant_method: 'compressed-tensors', format: 'pack-quantized' },
      config_groups: { group_0: { targets: ['Linear'], weights: group } },
    }),
  sentencepiece,
  'config.json': () => besideWeights('config.json'),
  'tokenizer.json': () => besideWeights('tokenizer.json'),
  'shard index': shardIndex,
};

/** The largest block of memory that was asked for since it was last set to 0. */
let largestAllocation = 0;
for (const name of ['Uint8Array', 'Uint16Array', 'Uint32Array', 'Int32Array', 'Float32Array', 'Float64Array']) {
  const original = globalThis[name];
  globalThis[name] = new Proxy(original, {
    construct(target, parameters, newTarget) {
      const [size] = parameters;
      if (typeof size === 'number') largestAllocation = Math.max(largestAllocation, size * original.BYTES_PER_ELEMENT);
      return Reflect.construct(target, parameters, newTarget === globalThis[name] ? target : newTarget);
    },
  });
}
const allocate = Storage.allocate.bind(Storage);
Storage.allocate = (size) => {
  largestAllocation = Math.max(largestAllocation, size);
  return allocate(size);
};

/** A model that was opened and is not what its own headers say. */
class WrongModel extends Error {}

/** Everything that can be had of a model. */
async function readAll(path, fileBytes) {
  largestAllocation = 0;
  const checkpoint = await models.openCheckpoint(path);
  try {
    if (largestAllocation > 2 * fileBytes + OWN_BYTES)
      throw new WrongModel(`opening allocated ${largestAllocation} bytes for a file of ${fileBytes}`);
    for (const [name, { shape }] of checkpoint.tensors) {
      const values = checkpoint.read(name);
      if (shape.length !== 2 || shape[0] < 1 || shape[1] < 1) continue;
      const announced = checkpoint.describe(name);
      const matrix = checkpoint.matrix(name);
      const { rows, columns, format } = matrix;
      if (rows !== shape[0] || columns !== shape[1] || (format !== announced.format && format !== 'bf16'))
        throw new WrongModel(`${name} is ${format} [${rows}, ${columns}], not ${JSON.stringify(announced)}`);
      const allowed = checkpoint.conversions.get(name)?.largestError ?? 0;
      const found = matrix.toFloat32();
      const worst = values.findIndex(
        // Not the other way round: a NaN in place of a value is further away than anything.
        (value, i) => Number.isFinite(value) && !(Math.abs(value - found[i]) <= allowed + Math.abs(value) * 2 ** -22),
      );
      if (worst >= 0)
        throw new WrongModel(`${name}[${worst}] is ${found[worst]}, not ${values[worst]} within ${allowed}`);
    }
    const tokenizer = await checkpoint.tokenizer();
    tokenizer.decode(tokenizer.encode('ab a'));
  } finally {
    checkpoint[Symbol.dispose]();
  }
}

let failures = 0;
const chosen = Object.entries(formats).filter(([name]) => options.format === undefined || name === options.format);
const count = Math.ceil(Number(options.count) / chosen.length);
for (const [name, prepare] of chosen) {
  const { open, file } = await prepare();
  const sound = readFileSync(file);
  const next = random(Number(options.seed));
  const tally = { opened: 0, refused: 0, slowest: 0 };
  const before = process.memoryUsage().rss;
  let largest = before;
  for (let round = 0; round < count; round++) {
    // Headers are in front, save that of an archive; every other round damages any place.
    const damaged = mutate(sound, next, 0, round % 2 === 0 ? Math.min(sound.length, 2048) : sound.length);
    writeFileSync(file, damaged);
    const start = process.cpuUsage();
    try {
      await readAll(open, damaged.length);
      tally.opened++;
    } catch (error) {
      tally.refused++;
      if (!LlmError.isInstance(error)) {
        failures++;
        const kept = join(tmpdir(), `llm-fuzz-${name}-${options.seed}-${round}`);
        writeFileSync(kept, damaged);
        console.error(`${name}, round ${round}, kept as ${kept}: ${error?.stack ?? error}`);
      }
    }
    const { user, system } = process.cpuUsage(start);
    tally.slowest = Math.max(tally.slowest, (user + system) / 1000);
    if (round % 256 === 0) largest = Math.max(largest, process.memoryUsage().rss);
  }
  writeFileSync(file, sound);
  if (tally.slowest > HANG_MS || largest - before > MAX_GROWTH_BYTES) failures++;
  console.log(
    `${name}: ${count} damaged files, ${tally.refused} refused, ${tally.opened} still readable, ` +
      `slowest ${tally.slowest.toFixed(0)} ms, memory grew by ${((largest - before) / 2 ** 20).toFixed(0)} MiB`,
  );
  if (open !== file) rmSync(open, { recursive: true });
}
rmSync(folder, { recursive: true });
process.exitCode = failures === 0 ? 0 : 1;
