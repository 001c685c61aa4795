// What the engine costs beside its kernels: CPU time while a model is idle, JavaScript per token, and what eight sequences gain
// over one.
//   node packages/runtime/bench/costs.mjs [--json] [--shape tinyllama-1.1b] [--threads N]      after `npm run build`
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import { Model, syntheticProgram } from '@llm/runtime';
import { threadPlan } from '@llm/tensor';

const after = (flag) => {
  const at = process.argv.indexOf(flag);
  return at < 0 ? undefined : process.argv[at + 1];
};
const shape = after('--shape') ?? 'tinyllama-1.1b';
const threads = Number(after('--threads') ?? threadPlan().threads);
const rounds = 5;
const model = join(import.meta.dirname, '../../cli/models/stories-llama-5m');
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

const result = { ...(await ofModel()), ...(await ofSequences()) };
if (process.argv.includes('--json')) console.log(JSON.stringify(result, null, 2));
else for (const [name, value] of Object.entries(result)) console.log(`${name.padEnd(28)} ${value}`);

async function ofModel() {
  const loaded = await Model.load(model, { weights: 'int4', threads });
  const tokens = async () => {
    const before = performance.eventLoopUtilization();
    const answer = loaded.generate('Once upon a time', { maxTokens: 400, stopTokens: [] });
    let characters = 0;
    for await (const piece of answer) characters += piece.length;
    if (characters === 0) throw new Error('nothing was written');
    const { active } = performance.eventLoopUtilization(before);
    return (active / (await answer.tokens).length) * 1000;
  };
  for (let i = 0; i < 3; i++) await tokens(); // compiled by then
  const perToken = [];
  for (let i = 0; i < 3 * rounds; i++) perToken.push(await tokens());

  await setTimeout(500);
  const before = process.cpuUsage();
  const began = performance.now();
  await setTimeout(5000);
  const { user, system } = process.cpuUsage(before);
  const idle = (user + system) / 1000 / (performance.now() - began);
  await loaded.dispose();
  return {
    javascriptMicrosecondsPerToken: Number(median(perToken).toFixed(1)),
    idleShareOfOneCore: Number(idle.toFixed(5)),
  };
}

async function ofSequences() {
  const { program, weights } = syntheticProgram(shape, { threads, prompt: 16, contextLength: 512 });
  const tokens = 24;
  const perSecond = async (count) => {
    const sequences = Array.from({ length: count }, () => program.createSequence());
    const options = { maxTokens: tokens, sampling: { temperature: 0 } };
    const ends = await Promise.all(
      sequences.map((sequence, i) => program.generate(sequence, Int32Array.of(1, 2, 3 + i), options, () => {}).done),
    );
    for (const sequence of sequences) sequence.dispose();
    const seconds = Math.max(...ends.map(({ generateSeconds }) => generateSeconds));
    return (count * (tokens - 1)) / seconds;
  };
  await perSecond(1);
  const ratios = [];
  for (let round = 0; round < rounds; round++) {
    const before = await perSecond(1);
    const eight = await perSecond(8);
    ratios.push(eight / ((before + (await perSecond(1))) / 2));
  }
  await program.dispose();
  weights[Symbol.dispose]();
  return { shape, threads, eightSequencesOverOne: Number(median(ratios).toFixed(2)) };
}
