// Measures what @llm/models does with large files:
//   node tools/bench/formats.mjs [--part opening|imports|tokenizing] [--format NAME] [--json]
// Needs built packages (npm run build) and 13 GB of sparse, 1 GB of real space in the folder for temporary files.
import { Buffer } from 'node:buffer';
import {
  closeSync,
  copyFileSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { random } from '../fuzz/mutate.mjs';
import { demoModel, sharedData } from '../test/shared-data.mjs';

const root = join(import.meta.dirname, '../..');
const models = await import(join(root, 'packages/models/dist/index.js'));
const { Storage } = await import(join(root, 'packages/tensor/dist/index.js'));
const { writeGguf } = await import(join(root, 'packages/models/dist/formats/gguf/write.js'));

const { values: options } = parseArgs({
  options: { part: { type: 'string' }, format: { type: 'string' }, json: { type: 'boolean' } },
});
const folder = mkdtempSync(join(tmpdir(), 'llm-bench-'));
const results = {};

const llama = {
  ...{ model_type: 'llama', hidden_size: 4096, intermediate_size: 11008, num_hidden_layers: 32 },
  ...{ num_attention_heads: 32, vocab_size: 32000 },
};

/** Llama-2-7B's shapes in bf16, three shards whose data is a hole. */
function sparseCheckpoint() {
  const path = join(folder, 'sparse');
  mkdirSync(path);
  writeFileSync(join(path, 'config.json'), JSON.stringify(llama));
  const layer = {
    ...{ 'input_layernorm.weight': [4096], 'post_attention_layernorm.weight': [4096] },
    ...Object.fromEntries(['q', 'k', 'v', 'o'].map((name) => [`self_attn.${name}_proj.weight`, [4096, 4096]])),
    ...{
      'mlp.gate_proj.weight': [11008, 4096],
      'mlp.up_proj.weight': [11008, 4096],
      'mlp.down_proj.weight': [4096, 11008],
    },
  };
  const shards = [
    [['model.embed_tokens.weight', [32000, 4096]]],
    [],
    [
      ['model.norm.weight', [4096]],
      ['lm_head.weight', [32000, 4096]],
    ],
  ];
  for (let i = 0; i < 32; i++) {
    for (const [name, shape] of Object.entries(layer))
      shards[Math.floor((i * 3) / 32)].push([`model.layers.${i}.${name}`, shape]);
  }
  const weight_map = {};
  let total = 0;
  shards.forEach((tensors, index) => {
    const file = `model-0000${index + 1}-of-00003.safetensors`;
    let end = 0;
    const header = tensors.map(([name, shape]) => {
      weight_map[name] = file;
      const begin = end;
      end += 2 * shape.reduce((product, size) => product * size, 1);
      return [name, { dtype: 'BF16', shape, data_offsets: [begin, end] }];
    });
    const text = Buffer.from(JSON.stringify(Object.fromEntries(header)));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    const descriptor = openSync(join(path, file), 'w');
    writeSync(descriptor, Buffer.concat([length, text]));
    ftruncateSync(descriptor, 8 + text.length + end);
    closeSync(descriptor);
    total += end;
  });
  writeFileSync(
    join(path, 'model.safetensors.index.json'),
    JSON.stringify({ metadata: { total_size: total }, weight_map }),
  );
  return { path, total };
}

async function measureOpening() {
  const { path, total } = sparseCheckpoint();
  const rss = process.memoryUsage().rss;
  const start = performance.now();
  const checkpoint = await models.openCheckpoint(path);
  const milliseconds = performance.now() - start;
  results.opening = {
    bytes: total,
    tensors: checkpoint.tensors.size,
    milliseconds,
    rssBytes: process.memoryUsage().rss - rss,
  };
  checkpoint[Symbol.dispose]();
  rmSync(path, { recursive: true });
}

/** Through a buffer that stays in the CPU's cache: what the system can hand out. */
function readSpeed(file) {
  const size = statSync(file).size;
  const buffer = Buffer.alloc(16 << 20);
  const pass = () => {
    const descriptor = openSync(file, 'r');
    const start = performance.now();
    for (let at = 0; at < size;) at += readSync(descriptor, buffer, 0, buffer.length, at);
    const seconds = (performance.now() - start) / 1000;
    closeSync(descriptor);
    return size / seconds;
  };
  pass();
  return Math.max(pass(), pass());
}

/** One linear of Llama-2-7B, and how many of it make a file that no cache of a CPU holds. */
const [rows, columns, layers] = [11008, 4096, 16];

function randomBytes(length, seed) {
  const bytes = Buffer.alloc(length);
  const next = random(seed);
  for (let i = 0; i + 4 <= length; i += 4) bytes.writeUInt32LE(next(), i);
  return bytes;
}

/** Scales of 2^-6, so that all values are finite. */
function halves(count) {
  return new Uint8Array(new Uint16Array(count).fill(0x2400).buffer);
}

async function writeGgufFile(type, blockValues, blockBytes, scalesAt) {
  const file = join(folder, `${type}.gguf`);
  const bytes = randomBytes((rows * columns * blockBytes) / blockValues, 1);
  for (let i = 0; i < bytes.length; i += blockBytes) for (const at of scalesAt) bytes.writeUInt16LE(0x2400, i + at);
  const u32 = (value) => ({ type: 'u32', value });
  const metadata = new Map([
    ['general.architecture', { type: 'string', value: 'llama' }],
    ...Object.entries({
      block_count: layers,
      context_length: 4096,
      embedding_length: 4096,
      feed_forward_length: rows,
      'attention.head_count': 32,
    }).map(([key, value]) => [`llama.${key}`, u32(value)]),
    ['llama.attention.layer_norm_rms_epsilon', { type: 'f32', value: 1e-5 }],
  ]);
  const tensors = Array.from({ length: layers }, (_, i) => ({
    name: `blk.${i}.ffn_up.weight`,
    type,
    shape: [rows, columns],
    data: () => bytes,
  }));
  await writeGguf(file, metadata, tensors);
  return { open: file, file };
}

async function writeQuantizedFolder(name, quantization, parts) {
  const open = join(folder, name);
  mkdirSync(open);
  const config = { ...llama, quantization_config: quantization };
  writeFileSync(join(open, 'config.json'), JSON.stringify(config));
  const file = join(open, 'model.safetensors');
  const entries = Array.from({ length: layers }, (_, i) =>
    Object.entries(parts).map(([part, { dtype, shape, bytes }]) => ({
      ...{ name: `model.layers.${i}.mlp.up_proj.${part}`, dtype, shape },
      data: () => bytes,
    })),
  );
  await models.writeSafetensors(file, entries.flat());
  return { open, file };
}

const groups = columns / 128;
const gridScales = { dtype: 'F16', shape: [groups, rows], bytes: halves(groups * rows) };
const codes = (shape) => ({ dtype: 'I32', shape, bytes: randomBytes(4 * shape[0] * shape[1], shape[1]) });

/** Files of random weights, one format each. */
const importedFormats = {
  'GGUF Q4_0': () => writeGgufFile('Q4_0', 32, 18, [0]),
  'GGUF Q4_1': () => writeGgufFile('Q4_1', 32, 20, [0, 2]),
  'GGUF Q8_0': () => writeGgufFile('Q8_0', 32, 34, [0]),
  'GGUF Q4_K': () => writeGgufFile('Q4_K', 256, 144, [0, 2]),
  'GGUF Q6_K': () => writeGgufFile('Q6_K', 256, 210, [208]),
  'GPTQ 4 bits': () =>
    writeQuantizedFolder(
      'gptq',
      { quant_method: 'gptq', bits: 4, group_size: 128, sym: false, checkpoint_format: 'gptq_v2' },
      { qweight: codes([columns / 8, rows]), qzeros: codes([groups, rows / 8]), scales: gridScales },
    ),
  AWQ: () =>
    writeQuantizedFolder(
      'awq',
      { quant_method: 'awq', bits: 4, group_size: 128, version: 'gemm' },
      { qweight: codes([columns, rows / 8]), qzeros: codes([groups, rows / 8]), scales: gridScales },
    ),
};

/** Into new memory of the file's size, as an import needs for what it makes. */
function readSpeedIntoNewMemory(file) {
  let best = Infinity;
  for (let round = 0; round < 3; round++) {
    const start = performance.now();
    readFileSync(file);
    best = Math.min(best, performance.now() - start);
  }
  return (statSync(file).size / best) * 1000;
}

/** Memory of its own, without the pages of mapped files, which the system takes back when it likes. */
function ownMemory() {
  const found = /^RssAnon:\s+(\d+) kB/mu.exec(readFileSync('/proc/self/status', 'utf8'));
  return found ? Number(found[1]) * 1024 : process.memoryUsage().rss;
}

/** As a file in the packed format, beside copying the file in the same folder. */
async function measureConversion(open, file) {
  const bytes = statSync(file).size;
  const best = { convert: Infinity, copy: Infinity };
  const before = ownMemory();
  let largest = before;
  for (let round = 0; round < 2; round++) {
    const [copy, output] = ['copy', 'converted'].map((name) => join(folder, name));
    let start = performance.now();
    copyFileSync(file, copy);
    best.copy = Math.min(best.copy, performance.now() - start);
    rmSync(copy);
    start = performance.now();
    await models.convert(open, output, {
      to: 'packed',
      onProgress() {
        largest = Math.max(largest, ownMemory());
      },
    });
    best.convert = Math.min(best.convert, performance.now() - start);
    rmSync(output, { recursive: true });
  }
  const perSecond = (milliseconds) => (bytes / milliseconds) * 1000;
  return {
    convertBytesPerSecond: perSecond(best.convert),
    copyBytesPerSecond: perSecond(best.copy),
    convertMemoryBytes: largest - before,
  };
}

async function measureImports() {
  results.imports = {};
  for (const [name, write] of Object.entries(importedFormats)) {
    if (options.format !== undefined && options.format !== name) continue;
    const { open, file } = await write();
    const conversion = await measureConversion(open, file);
    const readBytesPerSecond = readSpeed(file);
    const bytes = statSync(file).size;
    let best = { seconds: Infinity };
    for (let round = 0; round < 3; round++) {
      const checkpoint = await models.openCheckpoint(open);
      const start = performance.now();
      await checkpoint.prepare();
      const seconds = (performance.now() - start) / 1000;
      const packed = [...checkpoint.tensors.keys()].reduce((sum, key) => sum + checkpoint.matrix(key).byteLength, 0);
      if (seconds < best.seconds) best = { seconds, packed };
      checkpoint[Symbol.dispose]();
    }
    results.imports[name] = {
      ...{ bytes, packedBytes: best.packed, bytesPerSecond: bytes / best.seconds, readBytesPerSecond },
      readIntoNewMemoryBytesPerSecond: readSpeedIntoNewMemory(file),
      ...conversion,
    };
    rmSync(open, { recursive: true });
  }
}

async function measureTokenizers() {
  const text = readFileSync(
    sharedData('calibration', 'tinystories-valid-794k.txt') ?? join(root, 'README.md'),
    'utf8',
  ).slice(0, 1 << 20);
  results.tokenizing = {};
  const sources = {
    'SentencePiece pairs, 4096': demoModel(),
    'byte pairs, 4096': sharedData('stories-neox-5m'),
    'byte pairs, 49152': sharedData('smollm2-135m-instruct', 'SmolLM2-135M-Instruct.Q4_1.gguf'),
  };
  for (const [name, path] of Object.entries(sources)) {
    if (!path) continue;
    const checkpoint = await models.openCheckpoint(path);
    const tokenizer = await checkpoint.tokenizer();
    const start = performance.now();
    const ids = tokenizer.encode(text);
    const middle = performance.now();
    tokenizer.decode(ids);
    const perSecond = (from, to) => (text.length / (to - from)) * 1000;
    results.tokenizing[name] = {
      tokens: ids.length,
      encodeBytesPerSecond: perSecond(start, middle),
      decodeBytesPerSecond: perSecond(middle, performance.now()),
    };
    checkpoint[Symbol.dispose]();
  }
}

const parts = { opening: measureOpening, imports: measureImports, tokenizing: measureTokenizers };
// The kernels are loaded before anything is measured.
Storage.allocate(64)[Symbol.dispose]();
try {
  for (const [name, measure] of Object.entries(parts))
    if (options.part === undefined || options.part === name) await measure();
} finally {
  rmSync(folder, { recursive: true });
}
if (options.json) console.log(JSON.stringify(results, null, 2));
else {
  const { opening, imports = {}, tokenizing = {} } = results;
  const mega = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
  if (opening) {
    const { bytes, milliseconds, rssBytes } = opening;
    console.log(`opening ${mega(bytes)} in 3 shards: ${milliseconds.toFixed(1)} ms, ${mega(rssBytes)} of memory`);
  }
  for (const [name, speed] of Object.entries(imports)) {
    const share = (of) => `${((100 * speed.bytesPerSecond) / of).toFixed(0)} %`;
    const { readBytesPerSecond: read, readIntoNewMemoryBytesPerSecond: readNew, copyBytesPerSecond: copy } = speed;
    console.log(
      `${name} into memory: ${mega(speed.bytesPerSecond)}/s, ${share(readNew)} of reading the file into new memory ` +
        `(${mega(readNew)}/s), ${share(read)} of reading it through a buffer (${mega(read)}/s)`,
    );
    console.log(
      `${name} to a packed file: ${mega(speed.convertBytesPerSecond)}/s, ` +
        `${((100 * speed.convertBytesPerSecond) / copy).toFixed(0)} % of copying the file (${mega(copy)}/s), ` +
        `${mega(speed.convertMemoryBytes)} of memory`,
    );
  }
  for (const [name, { encodeBytesPerSecond, decodeBytesPerSecond }] of Object.entries(tokenizing)) {
    console.log(`${name}: encode ${mega(encodeBytesPerSecond)}/s, decode ${mega(decodeBytesPerSecond)}/s`);
  }
}
