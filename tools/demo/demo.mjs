// The main job in one go: the small model that ships here, bf16 on disk, becomes INT4 and writes a story.
//   npm run demo
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { styleText } from 'node:util';
import { root } from '../run.mjs';

const load = (name) => import(pathToFileURL(join(root, 'packages', name, 'dist/index.js')).href);
const { Model, benchmarkModel } = await load('runtime');
const { quantize } = await load('quant');
const { modelScorer, perplexity } = await load('eval');
const { cpuInfo, threadPlan } = await load('tensor');
const { ProgressDisplay, terminal } = await load('cli');

const source = join(root, 'packages/cli/models/stories-llama-5m');
const story = readFileSync(join(import.meta.dirname, 'story.txt'), 'utf8');
const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(2)} MiB`;
const strong = (text) => (process.stdout.isTTY ? styleText('bold', text) : text);
const step = (title) => console.log(`\n${strong(title)}`);

const folder = mkdtempSync(join(tmpdir(), 'llm-demo-'));
try {
  const { isa } = cpuInfo();
  const { threads } = threadPlan();
  console.log(`\nkernels: ${isa}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`);

  step('1. Quantize stories-llama-5m: bf16 -> INT4, groups of 32');
  const output = join(folder, 'stories-int4');
  let report;
  {
    const progress = new ProgressDisplay(terminal, false);
    report = await quantize(source, { method: 'rtn', bits: 4, groupSize: 32, output, onProgress: progress.update });
    progress[Symbol.dispose]();
  }
  console.log(`${mebibytes(report.bytesBefore)} before, ${mebibytes(report.bytesAfter)} after`);

  step('2. Perplexity on a short text');
  const before = await Model.load(source, { compute: 'f32' });
  const reference = await perplexity(modelScorer(before), story, { convention: 'all', window: 256 });
  await before[Symbol.asyncDispose]();
  const model = await Model.load(output);
  const quantized = await perplexity(modelScorer(model), story, { convention: 'all', window: 256 });
  const change = ((quantized.value / reference.value - 1) * 100).toFixed(1);
  console.log(`${reference.value.toFixed(3)} with bf16 weights and float32 arithmetic`);
  console.log(
    `${quantized.value.toFixed(3)} with INT4 weights and int8 arithmetic (${change > 0 ? '+' : ''}${change} %)`,
  );

  step('3. A story, from INT4 weights');
  const prompt = 'Once upon a time';
  process.stdout.write(prompt);
  const generation = model.generate(prompt, { maxTokens: 200, temperature: 0.8, topP: 0.95, seed: 7 });
  for await (const text of generation) process.stdout.write(text);
  const { generatedTokens, generateSeconds, promptSeconds } = await generation.usage;
  console.log(`\n\n${generatedTokens} tokens, ${((generatedTokens - 1) / generateSeconds).toFixed(0)} tokens/s`);
  console.log(`first token after ${(promptSeconds * 1000).toFixed(0)} ms`);

  step('4. Against the limit of this machine');
  const { decode, limits } = await benchmarkModel(model, threads, { rounds: 2, batches: [], prompt: 256 });
  const limit = limits.readBandwidth / decode.bytesPerToken;
  const share = (decode.tokensPerSecond.median / limit) * 100;
  console.log(
    `${decode.tokensPerSecond.median.toFixed(0)} tokens/s greedy; ${(decode.bytesPerToken / 1e6).toFixed(2)} MB of weights each`,
  );
  console.log(
    `memory reads ${(limits.readBandwidth / 1e9).toFixed(1)} GB/s here: a model too large for the caches could reach ${limit.toFixed(0)} tokens/s at this size; this is ${share.toFixed(0)} % of it.`,
  );
  console.log(
    'So small a model lives in the cache. Try a real shape: npx llm bench --synthetic tinyllama-1.1b --threads 1',
  );
  await model[Symbol.asyncDispose]();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
