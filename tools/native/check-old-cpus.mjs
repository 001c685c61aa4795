// Runs the engine as on older CPUs, under QEMU: each picks the table that it can run, and writes the text that this machine writes.
//   node tools/native/check-old-cpus.mjs      after `npm run build` and `npm run native` (Debian: apt-get install qemu-user)
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../run.mjs';

const cpus = { Nehalem: 'scalar', Haswell: 'avx2' };
const llm = join(root, 'packages/cli/bin/llm.js');
const story = ['run', 'stories-llama-5m', 'Once upon a time', '--max-tokens', '16', '--temperature', '0', '--json'];

function run(emulator, args) {
  const [program, ...before] = [...emulator, process.execPath];
  const { status, error, stdout, stderr } = spawnSync(program, [...before, llm, ...args], { encoding: 'utf8' });
  if (error) throw error;
  if (status !== 0) throw new Error(`${[program, ...before, llm, ...args].join(' ')} ended with ${status}:\n${stderr}`);
  return JSON.parse(stdout);
}

if (spawnSync('qemu-x86_64', ['--version']).error || process.arch !== 'x64') {
  console.log('old-cpus: skipped, qemu-x86_64 is not here');
} else {
  const expected = run([], story).text;
  for (const [cpu, table] of Object.entries(cpus)) {
    const emulator = ['qemu-x86_64', '-cpu', cpu];
    const { isa } = run(emulator, ['doctor', '--json']);
    const { text } = run(emulator, story);
    const passed = isa === table && text === expected;
    console.log(`old-cpus: ${cpu} runs ${isa} and writes ${JSON.stringify(text)}: ${passed ? 'passed' : 'FAILED'}`);
    if (!passed) process.exitCode = 1;
  }
}
