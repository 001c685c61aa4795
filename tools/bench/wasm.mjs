// What WebAssembly costs: tokens written per second of processor time, on one thread, with random weights in the shape of
// a published model, by native AVX2 code and by each WebAssembly table that this Node can run. Processor time instead of
// the clock's, and turns instead of one after the other, so that other work on the machine matters less. With several
// threads it is the clock's time, on a machine that does nothing else.
//   node tools/bench/wasm.mjs [--shape smollm2-135m] [--group-size 128] [--tokens 24] [--rounds 3] [--threads 1] [--json]
// Relaxed SIMD needs Node 22 or newer. Build first: npm run build && npm run native && npm run wasm.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { root } from '../run.mjs';

const { values } = parseArgs({
  options: {
    shape: { type: 'string', default: 'smollm2-135m' },
    'group-size': { type: 'string', default: '128' },
    tokens: { type: 'string', default: '24' },
    rounds: { type: 'string', default: '3' },
    threads: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    child: { type: 'boolean', default: false },
  },
});
const numbers = [values['group-size'], values.tokens, values.rounds, values.threads].map(Number);
const [groupSize, tokens, rounds, threads] = numbers;

if (values.child) await measure();
else compare();

function compare() {
  const tables = [
    { name: 'native avx2', env: { LLM_BACKEND: 'native', LLM_ISA: 'avx2' } },
    { name: 'wasm_simd128', env: { LLM_BACKEND: 'wasm', LLM_ISA: 'wasm_simd128' } },
    { name: 'wasm_relaxed', env: { LLM_BACKEND: 'wasm', LLM_ISA: 'wasm_relaxed' } },
  ].map((table) => ({ ...table, rates: [] }));
  for (let round = 0; round < rounds; round++)
    for (const { env, rates, name } of tables) {
      const { stdout, stderr, status } = spawnSync(process.execPath, [...process.argv.slice(1), '--child'], {
        env: { ...process.env, LLM_THREADS: values.threads, ...env },
        encoding: 'utf8',
      });
      if (status === 0) rates.push(Number(stdout));
      else if (round === 0)
        console.error(`wasm: ${name} does not run here: ${stderr.match(/^\w*Error: .*/m)?.[0] ?? stderr}`);
    }
  const measured = tables.filter(({ rates }) => rates.length > 0);
  const native = median(measured[0].rates);
  const result = measured.map(({ name, rates }) => ({
    table: name,
    tokensPerSecond: median(rates),
    least: Math.min(...rates),
    most: Math.max(...rates),
    ofNative: median(rates) / native,
  }));
  if (values.json) console.log(JSON.stringify(result, null, 2));
  else
    for (const { table, tokensPerSecond, least, most, ofNative } of result)
      console.log(
        `${table.padEnd(12)} ${tokensPerSecond.toFixed(1)} tokens per ${threads === 1 ? 'processor ' : ''}second ` +
          `(${least.toFixed(1)} to ${most.toFixed(1)}), ${(100 * ofNative).toFixed(0)} % of native`,
      );
}

function median(numbers) {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
}

async function measure() {
  const { syntheticProgram } = await import(join(root, 'packages/runtime/dist/index.js'));
  const { runningThreads } = await import(join(root, 'packages/tensor/dist/index.js'));
  while (runningThreads() < threads) await setTimeout(5);
  const { program } = syntheticProgram(values.shape, { threads, groupSize, contextLength: 256 });
  const seconds = () => {
    if (threads > 1) return performance.now() / 1e3;
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  };
  const decode = async (count) => {
    const sequence = program.createSequence();
    let start;
    const { done } = program.generate(sequence, Int32Array.of(1, 2, 3, 4), { maxTokens: count + 1 }, () => {
      start ??= seconds();
    });
    await done;
    const taken = seconds() - start;
    sequence[Symbol.dispose]();
    return count / taken;
  };
  await decode(tokens); // engines compile what they have run often
  console.log(Math.max(await decode(tokens), await decode(tokens)));
  process.exit(0);
}
