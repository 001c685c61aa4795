// Whole steps of a model's shape with random weights: decode, prefill and small batches, with each instruction's time.
//   npx tsc -b packages/tensor/tsconfig.lib.json && node packages/tensor/bench/engine/whole-step.mjs [shape] [threads]
import { Matrix } from '../../dist/matrix.js';
import { packMatrix } from '../../dist/packing.js';
import { Program } from '../../dist/program.js';
import { Storage } from '../../dist/storage.js';
import { llamaProgram } from '../../dist/testing/llama-program.js';
import { packedCase, randomGenerator } from '../../dist/testing/random-matrix.js';

const shapes = {
  'smollm2-135m': { width: 576, heads: 9, kvHeads: 3, headDim: 64, inner: 1536, vocabularySize: 49152, layers: 30 },
  'tinyllama-1.1b': { width: 2048, heads: 32, kvHeads: 4, headDim: 64, inner: 5632, vocabularySize: 32000, layers: 22 },
  'llama-2-7b': { width: 4096, heads: 32, kvHeads: 32, headDim: 128, inner: 11008, vocabularySize: 32000, layers: 32 },
};
const [name = 'tinyllama-1.1b', threadList = '1', group = '32', tokens = '64'] = process.argv.slice(2);
const shape = shapes[name];
const random = randomGenerator(1);
let weightBytes = 0;

// One random block of 32 rows, repeated.
function weight(rows, columns, kind) {
  const description = { format: 'int4-sym', rows, columns, groupSize: Number(group) };
  const codes = packedCase({ ...description, rows: 32 }, random);
  codes.scales = codes.scales.map((x) => x / 8 / Math.sqrt(columns));
  const block = packMatrix({ ...description, rows: 32 }, codes).bytes();
  const storage = Storage.allocate(block.length * (rows / 32));
  for (let i = 0; i < rows / 32; i++) storage.write(i * block.length, block);
  if (kind !== 'embedding') weightBytes += block.length * (rows / 32);
  return new Matrix(description, storage);
}

const description = llamaProgram({
  shape,
  maxTokens: 512,
  blocks: 64,
  cache: 'f16',
  compute: 'int8',
  weight,
  norm: (width) => new Float32Array(width).fill(1),
});
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
const prompt = Int32Array.from({ length: 512 }, () => random() * shape.vocabularySize);

for (const threads of threadList.split(',').map(Number)) {
  for (const profile of [false, true]) {
    const program = new Program(description, { threads, profile });
    const decode = [];
    const cpuBefore = process.cpuUsage();
    for (let round = 0; round < 3; round++) {
      const sequence = program.createSequence();
      const { done } = program.generate(
        sequence,
        prompt.subarray(0, 8),
        { maxTokens: Number(tokens), sampling: { temperature: 0 } },
        () => {},
      );
      const { generateSeconds, generatedTokens } = await done;
      decode.push(generateSeconds / (generatedTokens - 1));
      sequence.dispose();
    }
    const { user, system } = process.cpuUsage(cpuBefore);
    const cpu = (user + system) / 1e3 / (3 * Number(tokens));
    const step = median(decode);
    console.log(
      `${name} g${group} threads ${threads}: ${(1 / step).toFixed(1)} tokens/s, ${(step * 1e3).toFixed(3)} ms, ${(weightBytes / step / 1e9).toFixed(1)} GB/s of weights; ${cpu.toFixed(3)} ms of CPU a token`,
    );
    if (profile) {
      const groups = {};
      for (const { name: n, seconds } of program.profile()) {
        const key = n.replace(/\d+/g, 'N');
        groups[key] = (groups[key] ?? 0) + seconds;
      }
      const { steps } = program.stats();
      for (const [key, seconds] of Object.entries(groups))
        console.log(`  ${((seconds / steps) * 1e6).toFixed(1).padStart(9)} us  ${key}`);
    } else {
      for (const rows of [128, 512]) {
        const sequence = program.createSequence();
        const start = performance.now();
        await program.forward(sequence, prompt.subarray(0, rows));
        const seconds = (performance.now() - start) / 1e3;
        console.log(`  prefill ${rows}: ${(rows / seconds).toFixed(0)} tokens/s`);
        sequence.dispose();
      }
      for (const count of [2, 4, 8]) {
        const sequences = Array.from({ length: count }, () => program.createSequence());
        const ends = await Promise.all(
          sequences.map(
            (sequence, i) =>
              program.generate(
                sequence,
                Int32Array.of(i + 1),
                { maxTokens: 24, sampling: { temperature: 0 } },
                () => {},
              ).done,
          ),
        );
        const seconds = Math.max(...ends.map((end) => end.generateSeconds)) / 23;
        console.log(
          `  ${count} at once: ${(count / seconds).toFixed(1)} tokens/s, x${((count * step) / seconds).toFixed(2)}`,
        );
        sequences.forEach((sequence) => sequence.dispose());
      }
    }
    await program.dispose();
  }
}
