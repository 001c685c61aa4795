import { afterEach, expect, test } from '@jest/globals';
import { InvalidArgumentError } from './errors.ts';
import type { GenerateOptions, GenerationFinish } from './generation.ts';
import { Program } from './program.ts';
import { randomTokens, smallProgram } from './testing/small-program.ts';

const open: Program[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((program) => program.dispose()));
});

interface Outcome {
  readonly tokens: readonly number[];
  readonly logProbabilities: readonly number[];
  readonly cached: Int32Array;
  readonly finish: GenerationFinish;
}

async function run(program: Program, prompt: Int32Array, options: GenerateOptions): Promise<Outcome> {
  using sequence = program.createSequence();
  const tokens: number[] = [];
  const logProbabilities: number[] = [];
  const { done } = program.generate(sequence, prompt, { logProbabilities: true, ...options }, (batch) => {
    tokens.push(...batch.tokens);
    logProbabilities.push(...(batch.logProbabilities ?? []));
  });
  const finish = await done;
  return { tokens, logProbabilities, cached: sequence.tokens(), finish };
}

const repeated = Int32Array.from({ length: 60 }, (_, index) => [5, 9, 14, 20, 33][index % 5] ?? 0);
const samplings = [
  { temperature: 0 },
  { temperature: 1, seed: 4 },
  { temperature: 0.3, topK: 5, repetitionPenalty: 1.3, frequencyPenalty: 0.2, seed: 9 },
];
const cases = samplings.flatMap((sampling) => [repeated, randomTokens(30)].map((prompt) => ({ sampling, prompt })));

test.each(cases)('guesses by look-up change nothing (%#)', async ({ sampling, prompt }) => {
  const program = new Program(smallProgram(), { threads: 2 });
  open.push(program);
  const options = { maxTokens: 150, sampling };
  const plain = await run(program, prompt, options);
  const guessed = await run(program, prompt, { ...options, speculation: 'promptLookup' });
  expect(guessed.tokens).toEqual(plain.tokens);
  expect(guessed.logProbabilities).toEqual(plain.logProbabilities);
  expect(guessed.cached).toEqual(plain.cached);
  expect(plain.finish.draftedTokens).toBe(0);
  const stopToken = plain.tokens[40] ?? 0;
  const stopped = await run(program, prompt, { ...options, stopTokens: [stopToken], speculation: 'promptLookup' });
  expect(stopped.tokens).toEqual(plain.tokens.slice(0, plain.tokens.indexOf(stopToken)));
  expect(stopped.finish.stopToken).toBe(stopToken);
  expect(stopped.cached).toEqual(plain.cached.slice(0, prompt.length + stopped.tokens.length));
});

test('greedy text that repeats itself is guessed right', async () => {
  const program = new Program(smallProgram());
  open.push(program);
  // The small model soon runs in circles.
  const { finish } = await run(program, repeated, {
    maxTokens: 300,
    sampling: { temperature: 0 },
    speculation: 'promptLookup',
  });
  expect(finish.draftedTokens).toBeGreaterThan(0);
  expect(finish.acceptedTokens).toBeGreaterThan(0);
  expect(finish.generatedTokens).toBe(300);
});

test.each([1, 2])('a draft model of %i layers changes nothing', async (layers) => {
  const program = new Program(smallProgram(), { draft: smallProgram({ layers, maxTokens: 8 }), threads: 2 });
  open.push(program);
  for (const { sampling, prompt } of cases) {
    const options = { maxTokens: 60, sampling };
    const plain = await run(program, prompt, options);
    const guessed = await run(program, prompt, { ...options, speculation: 'draftModel' });
    expect(guessed.tokens).toEqual(plain.tokens);
    expect(guessed.cached).toEqual(plain.cached);
    const { draftedTokens, acceptedTokens } = guessed.finish;
    expect(draftedTokens).toBeGreaterThan(0);
    // The same model guesses greedy text right, whatever it says.
    if (layers === 2 && sampling.temperature === 0) expect(acceptedTokens).toBe(draftedTokens);
  }
});

test('neighbours, a full context and a lack of blocks', async () => {
  const program = new Program(smallProgram({ blocks: 4 }));
  open.push(program);
  const options = { maxTokens: 1000, sampling: { temperature: 0 } };
  const plain = await run(program, repeated, options);
  expect(plain.finish.reason).toBe('context');
  const guessed = await run(program, repeated, { ...options, speculation: 'promptLookup' });
  expect(guessed.tokens).toEqual(plain.tokens);
  expect(guessed.finish.reason).toBe('context');
  const short = { ...options, maxTokens: 100, speculation: 'promptLookup' } as const;
  const alone = await run(program, repeated, { ...options, maxTokens: 100 });
  const together = await Promise.all([1, 2, 3, 4].map(() => run(program, repeated, short)));
  for (const { tokens } of together) expect(tokens).toEqual(alone.tokens);
  expect(program.stats().freeBlocks).toBe(4);
});

test('without a draft model there is no guessing by one', () => {
  const program = new Program(smallProgram());
  open.push(program);
  using sequence = program.createSequence();
  expect(() =>
    program.generate(sequence, repeated, { maxTokens: 5, speculation: 'draftModel' }, () => undefined),
  ).toThrow(InvalidArgumentError);
});
