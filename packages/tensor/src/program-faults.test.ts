import { Worker } from 'node:worker_threads';
import { expect, test } from '@jest/globals';
import { Program } from './program.ts';
import { OutOfBlocksError, ProgramDisposedError } from './program-errors.ts';
import type { Sequence } from './sequence.ts';
import { randomGenerator } from './testing/random-matrix.ts';
import { randomTokens, smallProgram } from './testing/small-program.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('1000 aborts at random moments over 64 streams leave the pool full', async () => {
  const program = new Program(smallProgram({ blocks: 40, layers: 1 }), { threads: 2 });
  const random = randomGenerator(3);
  let aborts = 0;
  const reasons = new Set<string>();
  const stream = async (index: number): Promise<void> => {
    while (aborts < 1000) {
      const sequence: Sequence = program.createSequence();
      const prompt = randomTokens(1 + Math.floor(random() * 120), index);
      const handle = program.generate(sequence, prompt, { maxTokens: 1 + Math.floor(random() * 200) }, () => undefined);
      const waits = Math.floor(random() * 4);
      for (let i = 0; i < waits; i++) await turn();
      aborts++;
      if (random() < 0.5) handle.cancel();
      else sequence.dispose();
      // A stream that outgrows the pool before it is aborted ends with that error, as it would without the abort.
      const { reason } = await handle.done.catch((error: unknown) => {
        if (error instanceof OutOfBlocksError) return { reason: 'out of blocks' };
        throw error;
      });
      reasons.add(reason);
      sequence.dispose();
    }
  };
  await Promise.all(Array.from({ length: 64 }, (_, index) => stream(index)));
  expect(reasons.has('cancelled')).toBe(true);
  const { blocks, freeBlocks } = program.stats();
  expect(freeBlocks).toBe(blocks);
  // It still works.
  using sequence = program.createSequence();
  expect((await program.forward(sequence, randomTokens(3))).every(Number.isFinite)).toBe(true);
  await program.dispose();
});

test('dispose with requests running, waiting and cancelled', async () => {
  for (let round = 0; round < 10; round++) {
    const program = new Program(smallProgram({ blocks: 4 }));
    const outcomes = Array.from({ length: 8 }, (_, index) => {
      const handle = program.generate(
        program.createSequence(),
        randomTokens(100, index),
        { maxTokens: 10_000 },
        () => undefined,
      );
      if (index % 3 === 0) handle.cancel();
      return handle.done.then(
        ({ reason }) => reason,
        (error: unknown) => error,
      );
    });
    for (let i = 0; i < round; i++) await turn();
    await program.dispose();
    await program.dispose();
    // All settle. One that grows may reach the end of the pool or of its context before the program is gone.
    const names = (await Promise.all(outcomes)).map((it) => (it instanceof Error ? it.name : it));
    const ends: unknown[] = ['cancelled', 'context', ProgramDisposedError.name, OutOfBlocksError.name];
    for (const name of names) expect(ends).toContain(name);
  }
});

// A worker does not see jest's loader, so that it uses the addon itself.
test('a worker thread that is terminated in the middle of a generation', async () => {
  const source = `
    const { parentPort, workerData } = require('node:worker_threads');
    const addon = require('node-gyp-build')(workerData.package);
    const storage = addon.allocateStorage(64 * 16 * 4);
    addon.writeStorage(storage, 0, new Uint8Array(Float32Array.from({ length: 64 * 16 }, (_, i) => Math.sin(i)).buffer));
    const table = { handle: addon.createMatrix(storage, 0, 'f32', 64, 16, 0) };
    const description = {
      maxTokens: 8, vocabularySize: 64, rowFloats: 96,
      buffers: [
        { name: 'x', width: 16, offset: 0, rows: 'tokens' },
        { name: 'last', width: 16, offset: 16, rows: 'outputs' },
        { name: 'logits', width: 64, offset: 32, rows: 'outputs' },
      ],
      cache: { layers: 0, kvHeads: 0, keyDim: 16, valueDim: 16, type: 'f32', blockTokens: 64, blocks: 100000 },
      ropeTables: [], logits: 2, hidden: 1,
      instructions: [
        { op: 'embed', table, out: 0 },
        { op: 'outputs', in: 0, out: 1 },
        { op: 'linear', in: 1, compute: { type: 'f32' }, epilogue: { kind: 'none' },
          parts: [{ name: 'head', weight: table, out: { buffer: 2, column: 0 } }] },
      ],
    };
    const program = new addon.NativeProgram(description, { threads: 2, decodeThreads: 2, isa: '', debug: false, profile: false, trace: false }, (request, tokens) => {
      if (tokens) parentPort.postMessage(tokens.length);
    });
    for (let request = 1; request <= 4; request++)
      program.generate(request, program.createSequence(), Int32Array.of(1, 2, 3), {
        maxTokens: 2 ** 31 - 1, stopTokens: new Int32Array(), logProbabilities: false, shiftKeep: -1, speculation: 'none', temperature: 1, topK: 0, topP: 1,
        minP: 0, repetitionPenalty: 1, presencePenalty: 0, frequencyPenalty: 0, seed: 1n,
        biasTokens: new Int32Array(), biasValues: new Float32Array(),
      });
  `;
  for (let round = 0; round < 12; round++) {
    const worker = new Worker(source, { eval: true, workerData: { package: new URL('..', import.meta.url).pathname } });
    const tokens = await new Promise<number>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    expect(tokens).toBeGreaterThan(0);
    expect(await worker.terminate()).toBe(1);
  }
});

test('a busy event loop does not slow a generation', async () => {
  const program = new Program(smallProgram());
  using sequence = program.createSequence();
  const { done } = program.generate(sequence, randomTokens(4), { maxTokens: 100 }, () => undefined);
  // Nothing of JavaScript runs in between; without progress this would end after half a minute.
  const end = performance.now() + 30_000;
  while (program.stats().steps < 100 && performance.now() < end);
  expect(program.stats().steps).toBe(100);
  expect((await done).generatedTokens).toBe(100);
  await program.dispose();
});

test('without requests a program uses no CPU', async () => {
  const program = new Program(smallProgram(), { threads: 2 });
  using sequence = program.createSequence();
  await program.forward(sequence, randomTokens(3));
  await new Promise((resolve) => setTimeout(resolve, 50));
  const before = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, 300));
  const { user, system } = process.cpuUsage(before);
  // Two spinning threads would take 600 ms.
  expect((user + system) / 1000).toBeLessThan(150);
  await program.dispose();
});
