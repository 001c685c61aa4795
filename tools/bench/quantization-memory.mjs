// Peak memory of calibrated quantization on a checkpoint of Llama 2 7B's shape with random weights: two blocks, which is all that a run
// holds of a model of any depth.
//   node tools/bench/quantization-memory.mjs [--method gptq] [--blocks 2] [--samples 16] [--length 256] [--memory-mib 64] [--hidden 4096]
// Needs built packages (npm run build) and some 2 GB in the folder for temporary files. Prints the peak of the process beside two
// blocks in float32 plus the budget for hidden states; a budget below what the text needs sends them to disk. On Linux the memory of
// the process's own ("anonymous") is given apart from pages of mapped files: those of the checkpoint are counted once read, and the
// system takes them back when anybody needs the memory.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clearInterval, setInterval } from 'node:timers';
import { parseArgs } from 'node:util';
import { watchMemory } from './memory-peaks.mjs';

const packages = join(import.meta.dirname, '../../packages');
const { quantize } = await import(join(packages, 'quant/dist/index.js'));
const { architectureOf, writeSafetensors } = await import(join(packages, 'models/dist/index.js'));

const { values: options } = parseArgs({
  options: {
    method: { type: 'string', default: 'gptq' },
    blocks: { type: 'string', default: '2' },
    samples: { type: 'string', default: '16' },
    length: { type: 'string', default: '256' },
    'memory-mib': { type: 'string', default: '64' },
    hidden: { type: 'string', default: '4096' },
  },
});
const hidden = Number(options.hidden);
const config = {
  model_type: 'llama',
  hidden_size: hidden,
  intermediate_size: Math.round((hidden * 11008) / 4096 / 32) * 32,
  num_hidden_layers: Number(options.blocks),
  num_attention_heads: hidden / 128,
  num_key_value_heads: hidden / 128,
  vocab_size: 1024,
  max_position_embeddings: 4096,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: false,
  eos_token_id: 1,
};
const { graph } = architectureOf(config).build(config);
const folder = mkdtempSync(join(tmpdir(), 'llm-bench-memory-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const model = join(folder, 'model');
mkdirSync(model);
writeFileSync(join(model, 'config.json'), JSON.stringify(config));
await writeRandom(join(model, 'model.safetensors'));

const [samples, length, memory] = [
  Number(options.samples),
  Number(options.length),
  Number(options['memory-mib']) * 2 ** 20,
];
let state = 1;
const draw = () => (state = (state * 48271) % 2147483647);
const documents = Array.from({ length: samples }, () => Array.from({ length }, () => draw() % config.vocab_size));
const blockBytes = graph.nodes.reduce(
  (sum, node) =>
    node.op === 'weight' && /layers\.0\./.test(node.attributes.name)
      ? sum + 4 * node.attributes.shape.reduce((a, b) => a * b, 1)
      : sum,
  0,
);
let spilled = 0;
const watch = setInterval(() => {
  for (const name of readdirSync(tmpdir()).filter((entry) => entry.startsWith('llm-calibration-')))
    try {
      const path = join(tmpdir(), name);
      const size = readdirSync(path).reduce((sum, file) => sum + statSync(join(path, file)).size, 0);
      spilled = Math.max(spilled, size);
    } catch {
      // The folder has just been removed.
    }
}, 200);
const before = process.memoryUsage.rss();
const peaksOf = watchMemory();
const start = performance.now();
await quantize(model, {
  ...{ method: options.method, bits: 4, groupSize: 128, head: false, embedding: false },
  ...{ calibration: { documents, samples, length }, memory, output: join(folder, 'out') },
});
clearInterval(watch);
const peaks = await peaksOf();
const peak = process.resourceUsage().maxRSS * 1024;
const mib = (bytes) => Math.round(bytes / 2 ** 20);
console.log(
  JSON.stringify({
    method: options.method,
    tokens: samples * length,
    blockMiB: mib(blockBytes),
    budgetMiB: mib(memory),
    twoBlocksAndBudgetMiB: mib(2 * blockBytes + memory),
    hiddenStatesMiB: mib(samples * length * hidden * 4),
    spilledMiB: mib(spilled),
    beforeMiB: mib(before),
    ...(peaks && { peakAnonymousMiB: mib(peaks.anonymous), peakFileMiB: mib(peaks.file) }),
    peakMiB: mib(peak),
    seconds: Math.round((performance.now() - start) / 1000),
  }),
);

/** bfloat16 weights of about the size of trained ones, made a part at a time. */
async function writeRandom(path) {
  let seed = 7;
  const pattern = new Uint16Array(2 ** 20).map(() => {
    seed = (seed * 48271) % 2147483647;
    // 2^-6 to 2^-5 in size, either sign.
    return ((seed & 1) << 15) | (121 << 7) | ((seed >> 8) & 127);
  });
  const ones = new Uint16Array(2 ** 14).fill(0x3f80);
  const entries = graph.nodes.flatMap(({ op, attributes: { name, shape } }) => {
    if (op !== 'weight') return [];
    const bytes = 2 * shape.reduce((a, b) => a * b, 1);
    const from = name.includes('norm') ? ones : pattern;
    return [{ name, dtype: 'BF16', shape, data: () => repeated(new Uint8Array(from.buffer), bytes) }];
  });
  await writeSafetensors(path, entries);
}

function* repeated(bytes, length) {
  for (let left = length; left > 0; left -= bytes.length) yield bytes.subarray(0, Math.min(bytes.length, left));
}
