import { afterEach, describe, expect, test } from '@jest/globals';
import { Program, type ForwardOptions, type ProgramOptions } from './program.ts';
import { InvalidArgumentError, UnknownOptionError } from './errors.ts';
import type { ProgramDescription } from './program-description.ts';
import {
  ContextOverflowError,
  NonFiniteLogitsError,
  OutOfBlocksError,
  ProgramDisposedError,
  SequenceBusyError,
} from './program-errors.ts';
import { runReference } from './reference/program.ts';
import type { Sequence } from './sequence.ts';
import { randomTokens, smallProgram } from './testing/small-program.ts';

const open: Program[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((program) => program.dispose()));
});

function make(description: ProgramDescription = smallProgram(), options: ProgramOptions = {}): Program {
  const program = new Program(description, options);
  open.push(program);
  return program;
}

async function logitsOf(program: Program, tokens: Int32Array, options: ForwardOptions = {}): Promise<Float32Array> {
  using sequence = program.createSequence();
  return await program.forward(sequence, tokens, options);
}

async function greedy(program: Program, sequence: Sequence, prompt: Int32Array, maxTokens: number): Promise<number[]> {
  const tokens: number[] = [];
  const { done } = program.generate(sequence, prompt, { maxTokens, sampling: { temperature: 0 } }, (batch) => {
    tokens.push(...batch.tokens);
  });
  await done;
  return tokens;
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Math.max(...Array.from({ length: a.length }, (_, i) => Math.abs((a[i] ?? NaN) - (b[i] ?? NaN))));
}

describe('forward', () => {
  test.each([1, 5, 33, 70])('agrees with the reference on all of %i tokens', async (count) => {
    const description = smallProgram();
    const tokens = randomTokens(count);
    const all = Array.from(tokens, (_, index) => index);
    const { logits, hidden } = runReference(description, tokens, all);
    const expected = logits.flatMap((row) => [...row.subarray(0, description.vocabularySize)]);
    const program = make(description);
    const peak = Math.max(...expected.map(Math.abs));
    expect(peak).toBeGreaterThan(1);
    expect(largestDifference(await logitsOf(program, tokens, { outputs: 'all' }), expected)).toBeLessThan(peak * 1e-5);
    const states = await logitsOf(program, tokens, { outputs: 'all', hidden: true });
    expect(
      largestDifference(
        states,
        hidden.flatMap((row) => [...row]),
      ),
    ).toBeLessThan(1e-4);
  });

  test('packed weights agree with the reference', async () => {
    const description = smallProgram({ packed: 'int4-min' });
    const tokens = randomTokens(20);
    const { logits } = runReference(description, tokens, [19]);
    const expected = logits[0]?.subarray(0, description.vocabularySize) ?? [];
    const peak = Math.max(...Array.from(expected, Math.abs));
    const got = await logitsOf(make(description), tokens);
    expect(largestDifference(got, expected)).toBeLessThan(peak * 1e-5);
  });

  test('gives the rows that were asked for', async () => {
    const program = make();
    const tokens = randomTokens(40);
    const all = await logitsOf(program, tokens, { outputs: 'all' });
    const width = program.description.vocabularySize;
    const some = await logitsOf(program, tokens, { outputs: [0, 7, 39] });
    expect(some).toEqual(
      Float32Array.from([0, 7, 39].flatMap((row) => [...all.subarray(row * width, (row + 1) * width)])),
    );
    expect(await logitsOf(program, tokens)).toEqual(all.slice(39 * width));
  });

  const kinds = [
    smallProgram(),
    smallProgram({ packed: 'int4-sym', compute: 'int8' }),
    smallProgram({ packed: 'int4-asym', compute: 'int8', cache: 'f16' }),
    smallProgram({ packed: 'int4-min', compute: 'int8', cache: 'bf16' }),
    smallProgram({ cache: 'int8' }),
  ];
  test.each(kinds)('one token at a time, in pieces, or all at once: the same bits (kind %#)', async (description) => {
    const program = make(description);
    const tokens = randomTokens(75);
    const whole = await logitsOf(program, tokens, { outputs: 'all' });
    for (const piece of [1, 3, 7, 50]) {
      using sequence = program.createSequence();
      const parts: number[] = [];
      for (let i = 0; i < tokens.length; i += piece)
        parts.push(...(await program.forward(sequence, tokens.subarray(i, i + piece), { outputs: 'all' })));
      expect(Float32Array.from(parts)).toEqual(whole);
      expect(sequence.length).toBe(75);
      expect(sequence.tokens()).toEqual(tokens);
    }
  });

  test.each(kinds)('any number of threads: the same bits (kind %#)', async (description) => {
    const tokens = randomTokens(45);
    const expected = await logitsOf(make(description, { threads: 1 }), tokens, { outputs: 'all' });
    for (const threads of [2, 3, 4]) {
      const program = make(description, { threads });
      expect(await logitsOf(program, tokens, { outputs: 'all' })).toEqual(expected);
      using sequence = program.createSequence();
      const one: number[] = [];
      for (const token of tokens.subarray(0, 9))
        one.push(...(await program.forward(sequence, Int32Array.of(token), { outputs: 'all' })));
      expect(Float32Array.from(one)).toEqual(expected.slice(0, one.length));
    }
  });

  test.each(kinds)('neighbours in a step change nothing (kind %#)', async (description) => {
    const program = make(description, { threads: 2 });
    const texts = [3, 20, 41, 1, 11].map((length, seed) => randomTokens(length, seed + 10));
    const alone: Float32Array[] = [];
    for (const text of texts) alone.push(await logitsOf(program, text, { outputs: 'all' }));
    const together = await Promise.all(texts.map((text) => logitsOf(program, text, { outputs: 'all' })));
    expect(together).toEqual(alone);
  });
});

describe('sequences', () => {
  test('a fork shares what was and goes its own way', async () => {
    const program = make();
    const tokens = randomTokens(70);
    using sequence = program.createSequence();
    await program.forward(sequence, tokens);
    const before = program.stats().freeBlocks;
    using fork = sequence.fork();
    expect(program.stats().freeBlocks).toBe(before);
    const [a, b] = await Promise.all([
      program.forward(sequence, Int32Array.of(1, 2)),
      program.forward(fork, Int32Array.of(3, 4)),
    ]);
    expect(a).toEqual(await logitsOf(program, Int32Array.of(...tokens, 1, 2)));
    expect(b).toEqual(await logitsOf(program, Int32Array.of(...tokens, 3, 4)));
  });

  test('truncate forgets', async () => {
    const program = make();
    const tokens = randomTokens(140);
    using sequence = program.createSequence();
    await program.forward(sequence, tokens);
    for (const length of [130, 128, 65, 10, 0]) {
      sequence.truncate(length);
      expect(sequence.length).toBe(length);
      const next = await program.forward(sequence, Int32Array.of(5, 6, 7));
      expect(next).toEqual(await logitsOf(program, Int32Array.of(...tokens.subarray(0, length), 5, 6, 7)));
      sequence.truncate(length);
    }
    expect(() => {
      sequence.truncate(1);
    }).toThrow(InvalidArgumentError);
  });

  test('give their blocks back', async () => {
    const program = make();
    const { blocks } = program.stats();
    const sequence = program.createSequence();
    await program.forward(sequence, randomTokens(129));
    expect(program.stats().freeBlocks).toBe(blocks - 3);
    sequence.dispose();
    expect(program.stats().freeBlocks).toBe(blocks);
  });

  test('have one request at a time', async () => {
    const program = make();
    using sequence = program.createSequence();
    const first = program.forward(sequence, randomTokens(30));
    await expect(program.forward(sequence, randomTokens(3))).rejects.toThrow(SequenceBusyError);
    await first;
  });
});

describe('generate', () => {
  test('greedy takes the likeliest token of each step', async () => {
    const program = make();
    const prompt = randomTokens(12);
    using sequence = program.createSequence();
    const tokens = await greedy(program, sequence, prompt, 20);
    expect(tokens).toHaveLength(20);
    expect(sequence.length).toBe(12 + 19);
    const text = [...prompt];
    for (const token of tokens) {
      const logits = await logitsOf(program, Int32Array.from(text));
      expect(token).toBe(logits.indexOf(Math.max(...logits)));
      text.push(token);
    }
  });

  test('does not depend on its neighbours', async () => {
    const program = make(smallProgram({ packed: 'int4-sym', compute: 'int8' }), { threads: 2 });
    const prompts = Array.from({ length: 12 }, (_, i) => randomTokens(1 + 9 * i, i + 1));
    const run = async (prompt: Int32Array): Promise<number[]> => {
      using sequence = program.createSequence();
      return await greedy(program, sequence, prompt, 15);
    };
    const alone: number[][] = [];
    for (const prompt of prompts) alone.push(await run(prompt));
    expect(await Promise.all(prompts.map(run))).toEqual(alone);
  });

  test('stops at a stop token, and says which', async () => {
    const program = make();
    using free = program.createSequence();
    const tokens = await greedy(program, free, randomTokens(5), 10);
    const stopToken = tokens[6] ?? 0;
    using sequence = program.createSequence();
    const got: number[] = [];
    const { done } = program.generate(
      sequence,
      randomTokens(5),
      { maxTokens: 10, stopTokens: [stopToken], sampling: { temperature: 0 } },
      (batch) => got.push(...batch.tokens),
    );
    const finish = await done;
    expect(finish.reason).toBe('stop');
    expect(finish.stopToken).toBe(stopToken);
    expect(got).toEqual(tokens.slice(0, tokens.indexOf(stopToken)));
    expect(finish.generatedTokens).toBe(got.length);
    expect(finish.promptTokens).toBe(5);
  });

  test('log-probabilities are those of the softmax', async () => {
    const program = make();
    using sequence = program.createSequence();
    const got: number[] = [];
    const { done } = program.generate(
      sequence,
      randomTokens(6),
      { maxTokens: 1, logProbabilities: true, sampling: { temperature: 0 } },
      (batch) => got.push(...(batch.logProbabilities ?? [])),
    );
    await done;
    const logits = await logitsOf(program, randomTokens(6));
    const peak = Math.max(...logits);
    const expected = -Math.log(logits.reduce((sum, x) => sum + Math.exp(x - peak), 0));
    expect(got).toHaveLength(1);
    expect(got[0]).toBeCloseTo(expected, 4);
  });

  test('the same seed draws the same tokens', async () => {
    const program = make();
    const draw = async (seed: number): Promise<number[]> => {
      using sequence = program.createSequence();
      const tokens: number[] = [];
      await program.generate(sequence, randomTokens(4), { maxTokens: 30, sampling: { seed } }, (batch) => {
        tokens.push(...batch.tokens);
      }).done;
      return tokens;
    };
    const first = await draw(1);
    expect(await draw(1)).toEqual(first);
    expect(await draw(2)).not.toEqual(first);
  });

  test('cancel ends it and frees the sequence', async () => {
    const program = make();
    using sequence = program.createSequence();
    let seen = 0;
    const handle = program.generate(sequence, randomTokens(4), { maxTokens: 1000 }, () => {
      if (++seen === 2) handle.cancel();
    });
    expect((await handle.done).reason).toBe('cancelled');
    await program.forward(sequence, Int32Array.of(1));
  });

  test('ends when the context is full', async () => {
    const program = make(smallProgram({ blocks: 1 }));
    using sequence = program.createSequence();
    const { done } = program.generate(sequence, randomTokens(60), { maxTokens: 100 }, () => undefined);
    const finish = await done;
    expect(finish.reason).toBe('context');
    expect(finish.generatedTokens).toBe(5);
    expect(sequence.length).toBe(64);
  });

  test('a consumer that throws ends its own generation only', async () => {
    const program = make();
    using sequence = program.createSequence();
    using other = program.createSequence();
    const failure = new Error('no more');
    const handle = program.generate(sequence, randomTokens(4), { maxTokens: 1000 }, () => {
      throw failure;
    });
    const fine = greedy(program, other, randomTokens(4), 20);
    await expect(handle.done).rejects.toBe(failure);
    expect(await fine).toHaveLength(20);
  });

  test('reuses what an earlier request left in the cache', async () => {
    const program = make(smallProgram({ maxTokens: 64 }));
    const prompt = randomTokens(150);
    const run = async (tokens: Int32Array): Promise<readonly [number[], number]> => {
      using sequence = program.createSequence();
      const got: number[] = [];
      const { done } = program.generate(sequence, tokens, { maxTokens: 8, sampling: { temperature: 0 } }, (batch) => {
        got.push(...batch.tokens);
      });
      return [got, (await done).reusedTokens];
    };
    const [first, none] = await run(prompt);
    const [second, reused] = await run(prompt);
    expect([none, reused]).toEqual([0, 128]);
    expect(second).toEqual(first);
    const [, partly] = await run(Int32Array.from(prompt, (token, i) => (i === 100 ? (token + 1) % 73 : token)));
    expect(partly).toBe(64);
  });
});

describe('a full pool', () => {
  test('requests wait for blocks and take turns', async () => {
    const program = make(smallProgram({ blocks: 4 }));
    const prompts = Array.from({ length: 6 }, (_, i) => randomTokens(50 + i, i + 1));
    const run = async (prompt: Int32Array): Promise<number[]> => {
      using sequence = program.createSequence();
      return await greedy(program, sequence, prompt, 60);
    };
    const alone: number[][] = [];
    for (const prompt of prompts) alone.push(await run(prompt));
    expect(await Promise.all(prompts.map(run))).toEqual(alone);
    expect(program.stats().freeBlocks).toBe(4);
  });

  test('what can never fit is refused', async () => {
    const program = make(smallProgram({ blocks: 4 }));
    using holder = program.createSequence();
    await program.forward(holder, randomTokens(150));
    using sequence = program.createSequence();
    await expect(program.forward(sequence, randomTokens(100, 2))).rejects.toThrow(OutOfBlocksError);
    await expect(program.forward(sequence, randomTokens(257))).rejects.toThrow(ContextOverflowError);
  });
});

describe('faults', () => {
  test('dispose ends what is running', async () => {
    const program = make();
    const sequence = program.createSequence();
    const { done } = program.generate(sequence, randomTokens(4), { maxTokens: 100000 }, () => undefined);
    const forward = program.forward(program.createSequence(), randomTokens(300));
    const failures = Promise.all([
      expect(done).rejects.toThrow(ProgramDisposedError),
      expect(forward).rejects.toThrow(ProgramDisposedError),
    ]);
    await program.dispose();
    await failures;
    sequence.dispose();
    expect(() => program.createSequence()).toThrow('disposed');
  });

  test('values that are not finite are an error that names the instruction', async () => {
    const description = smallProgram();
    const instructions = description.instructions.map((instruction) =>
      instruction.op === 'linear' && instruction.parts[0]?.name === 'layers.1.gate' && instruction.norm
        ? { ...instruction, norm: { ...instruction.norm, weight: instruction.norm.weight.map(() => Infinity) } }
        : instruction,
    );
    const program = make({ ...description, instructions }, { debug: true });
    const error: unknown = await logitsOf(program, randomTokens(3)).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(NonFiniteLogitsError);
    expect((error as NonFiniteLogitsError).instruction).toBe('linear layers.1.gate + layers.1.up');
  });

  test('an abort signal rejects with its reason', async () => {
    const program = make(smallProgram({ maxTokens: 1 }));
    using sequence = program.createSequence();
    const controller = new AbortController();
    const forward = program.forward(sequence, randomTokens(900), { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(forward).rejects.toThrow('enough');
  });

  test('descriptions and options are checked', async () => {
    const description = smallProgram();
    expect(() => make({ ...description, logits: 99 })).toThrow(InvalidArgumentError);
    expect(() => make({ ...description, rowFloats: 10 })).toThrow(InvalidArgumentError);
    expect(() =>
      make({ ...description, instructions: [...description.instructions, { op: 'add', a: 0, b: 4, out: 4 }] }),
    ).toThrow(/Instruction \d+, add of last/);
    expect(() => make(description, { thread: 2 } as ProgramOptions)).toThrow(UnknownOptionError);
    const program = make(description);
    using sequence = program.createSequence();
    await expect(program.forward(sequence, Int32Array.of(73))).rejects.toThrow(InvalidArgumentError);
    await expect(program.forward(sequence, Int32Array.of())).rejects.toThrow(InvalidArgumentError);
  });
});
