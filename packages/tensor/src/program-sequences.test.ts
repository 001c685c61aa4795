import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { backend } from './backend/load.ts';
import { Program, type ProgramOptions } from './program.ts';
import { InvalidArgumentError } from './errors.ts';
import type { ProgramDescription } from './program-description.ts';
import { OutOfBlocksError, SequenceFileError } from './program-errors.ts';
import { chromeTrace } from './trace.ts';
import { randomTokens, smallProgram } from './testing/small-program.ts';

const open: Program[] = [];
let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sequences-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((program) => program.dispose()));
});

function make(description: ProgramDescription, options: ProgramOptions = {}): Program {
  const program = new Program(description, options);
  open.push(program);
  return program;
}

async function logitsOf(program: Program, tokens: Int32Array): Promise<Float32Array> {
  using sequence = program.createSequence();
  return await program.forward(sequence, tokens);
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  return Math.max(...a.map((x, i) => Math.abs(x - (b[i] ?? NaN))));
}

test.each(['f32', 'f16', 'bf16', 'int8'] as const)('a saved %s sequence goes on as it would have', async (cache) => {
  const description = smallProgram({ cache });
  const program = make(description);
  const path = join(folder, `${cache}.sequence`);
  const tokens = randomTokens(150);
  using sequence = program.createSequence();
  await program.forward(sequence, tokens);
  await program.saveSequence(sequence, path);
  const expected = await program.forward(sequence, Int32Array.of(1, 2, 3));

  const other = make(smallProgram({ cache, blocks: 20, maxTokens: 8 }), { threads: 2 });
  using restored = await other.restoreSequence(path);
  expect(restored.tokens()).toEqual(tokens);
  expect(await other.forward(restored, Int32Array.of(1, 2, 3))).toEqual(expected);
});

test('files that do not fit are refused and leave nothing behind', async () => {
  const program = make(smallProgram({ blocks: 4 }));
  const path = join(folder, 'good.sequence');
  using sequence = program.createSequence();
  await program.forward(sequence, randomTokens(100));
  await program.saveSequence(sequence, path);
  const good = await readFile(path);
  const { freeBlocks } = program.stats();
  const attempt = async (bytes: Uint8Array): Promise<void> => {
    const bad = join(folder, 'bad.sequence');
    await writeFile(bad, bytes);
    await expect(program.restoreSequence(bad)).rejects.toThrow(SequenceFileError);
    expect(program.stats().freeBlocks).toBe(freeBlocks);
  };
  await attempt(good.subarray(0, good.length - 1));
  await attempt(good.subarray(0, 10));
  await attempt(new Uint8Array());
  await attempt(Buffer.concat([good, Buffer.of(0)]));
  for (const at of [0, 9, 40, 400, good.length - 1]) {
    const damaged = Buffer.from(good);
    damaged[at] = (damaged[at] ?? 0) ^ 0xff;
    await attempt(damaged);
  }
  await expect(make(smallProgram({ cache: 'f16' })).restoreSequence(path)).rejects.toThrow(/another model/);
  await expect(make(smallProgram({ layers: 1 })).restoreSequence(path)).rejects.toThrow(/another model/);

  using more = program.createSequence();
  await program.forward(more, randomTokens(64, 2));
  await expect(program.restoreSequence(path)).rejects.toThrow(OutOfBlocksError);
  expect((await readdir(folder)).filter((name) => name.endsWith('.partial'))).toEqual([]);
});

test('a shifted context is that of the shorter text, where a layer sees only tokens', async () => {
  // In one layer keys and values depend on the token and its position alone.
  const program = make(smallProgram({ layers: 1, blocks: 16 }));
  const tokens = randomTokens(300);
  for (const [keep, drop] of [
    [0, 64],
    [64, 128],
    [100, 10],
  ] as const) {
    using sequence = program.createSequence();
    await program.forward(sequence, tokens);
    using fork = sequence.fork();
    const forgotten = sequence.shift(keep, drop);
    const kept = Math.ceil(keep / 64) * 64;
    expect(forgotten).toBe(Math.ceil(drop / 64) * 64);
    const rest = Int32Array.of(...tokens.subarray(0, kept), ...tokens.subarray(kept + forgotten));
    expect(sequence.tokens()).toEqual(rest);
    const next = Int32Array.of(7, 8);
    const expected = await logitsOf(program, Int32Array.of(...rest, ...next));
    expect(largestDifference(await program.forward(sequence, next), expected)).toBeLessThan(1e-4);
    // Those who share the blocks keep theirs.
    expect(await program.forward(fork, next)).toEqual(await logitsOf(program, Int32Array.of(...tokens, ...next)));
  }
  const { blocks, freeBlocks } = program.stats();
  expect(freeBlocks).toBe(blocks);
});

test('what was shifted is not found by later requests', async () => {
  const program = make(smallProgram({ blocks: 8 }));
  const tokens = randomTokens(200);
  using sequence = program.createSequence();
  await program.forward(sequence, tokens);
  sequence.shift(0, 64);
  await program.forward(sequence, randomTokens(100, 5));
  const fresh = make(smallProgram({ blocks: 8 }));
  const prompt = Int32Array.of(...sequence.tokens().subarray(0, 192), 3);
  expect(await logitsOf(program, prompt)).toEqual(await logitsOf(fresh, prompt));
});

test('a shift is refused where it cannot be', async () => {
  const program = make(smallProgram());
  using sequence = program.createSequence();
  await program.forward(sequence, randomTokens(100));
  expect(() => sequence.shift(64, 64)).toThrow(InvalidArgumentError);

  // Shared blocks have to be copied before they move.
  const small = make(smallProgram({ blocks: 4 }));
  using long = small.createSequence();
  await small.forward(long, randomTokens(200));
  using fork = long.fork();
  expect(() => long.shift(0, 64)).toThrow(OutOfBlocksError);
  expect(long.tokens()).toEqual(fork.tokens());
});

test('with contextShift a generation goes on beyond the context', async () => {
  const program = make(smallProgram({ blocks: 3 }));
  using sequence = program.createSequence();
  let count = 0;
  const { done } = program.generate(
    sequence,
    randomTokens(20),
    { maxTokens: 500, contextShift: { keep: 20 } },
    ({ tokens }) => (count += tokens.length),
  );
  expect((await done).reason).toBe('length');
  expect(count).toBe(500);
  expect(sequence.tokens().subarray(0, 20)).toEqual(randomTokens(20));
});

test('long contexts shared out over threads give the same bits', async () => {
  const description = smallProgram({ blocks: 20, maxTokens: 64 });
  const tokens = randomTokens(1100);
  const run = async (threads: number): Promise<Float32Array[]> => {
    const program = make(description, { threads });
    const sequences = [program.createSequence(), program.createSequence()];
    await Promise.all(sequences.map((sequence, i) => program.forward(sequence, tokens.subarray(0, 1100 - 300 * i))));
    const steps: Float32Array[] = [];
    for (const next of [[1], [2, 3, 4], [5]])
      steps.push(
        ...(await Promise.all(sequences.map((s) => program.forward(s, Int32Array.from(next), { outputs: 'all' })))),
      );
    return steps;
  };
  const expected = await run(1);
  for (const threads of [2, 3, 4]) expect(await run(threads)).toEqual(expected);
});

test('a trace shows every thread and instruction', async () => {
  const description = smallProgram();
  const program = make(description, { threads: 2, trace: true, profile: true });
  await logitsOf(program, randomTokens(10));
  const spans = program.trace();
  const threads = backend().kind === 'wasm' && backend().runningThreads() < 2 ? [0] : [0, 1];
  expect(new Set(spans.map(({ thread }) => thread))).toEqual(new Set(threads));
  expect(spans.every(({ begin, end }) => end >= begin)).toBe(true);
  const parsed = JSON.parse(chromeTrace(spans)) as { traceEvents: { name: string; ts: number }[] };
  expect(parsed.traceEvents).toHaveLength(threads.length * (description.instructions.length + 1));
  expect(Math.min(...parsed.traceEvents.map(({ ts }) => ts))).toBe(0);
  expect(program.profile().map(({ name }) => name)).toContain('attention of layer 1');
  expect(program.profile().every(({ seconds }) => seconds > 0)).toBe(true);
});
