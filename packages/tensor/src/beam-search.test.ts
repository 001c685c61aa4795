import { afterEach, expect, test } from '@jest/globals';
import { beamSearch } from './beam-search.ts';
import { InvalidArgumentError, UnknownOptionError } from './errors.ts';
import { Program } from './program.ts';
import { logSoftmax } from './reference/sampling.ts';
import { randomTokens, smallProgram } from './testing/small-program.ts';

const open: Program[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((program) => program.dispose()));
});

function make(): Program {
  const program = new Program(smallProgram({ blocks: 160 }));
  open.push(program);
  return program;
}

async function logProbabilities(program: Program, tokens: Iterable<number>): Promise<number[]> {
  using sequence = program.createSequence();
  return logSoftmax(await program.forward(sequence, Int32Array.from(tokens)));
}

interface Plain {
  readonly tokens: number[];
  readonly logProbability: number;
}

/** Everything from the definition: each text computed anew, each extension looked at, nothing shared. */
async function plainSearch(program: Program, prompt: Int32Array, width: number, length: number, end: number) {
  let beams: Plain[] = [{ tokens: [], logProbability: 0 }];
  const finished: Plain[] = [];
  for (let step = 0; step < length; step++) {
    const all: Plain[] = [];
    for (const { tokens, logProbability } of beams) {
      const next = await logProbabilities(program, [...prompt, ...tokens]);
      next.forEach((value, token) => all.push({ tokens: [...tokens, token], logProbability: logProbability + value }));
    }
    all.sort((a, b) => b.logProbability - a.logProbability);
    finished.push(...all.slice(0, width).filter(({ tokens }) => tokens.at(-1) === end));
    beams = all.filter(({ tokens }) => tokens.at(-1) !== end).slice(0, width);
  }
  return [...finished, ...beams]
    .map(({ tokens, logProbability }) => ({ tokens, score: logProbability / tokens.length }))
    .sort((a, b) => b.score - a.score)
    .slice(0, width);
}

test('one beam is greedy', async () => {
  const program = make();
  const prompt = randomTokens(6);
  const [best] = await beamSearch(program, prompt, { beams: 1, maxTokens: 8 });
  const greedy: number[] = [];
  using sequence = program.createSequence();
  await program.generate(sequence, prompt, { maxTokens: 8, sampling: { temperature: 0 } }, ({ tokens }) => {
    greedy.push(...tokens);
  }).done;
  expect(best?.tokens).toEqual(greedy);
  expect(best?.ended).toBe(false);
});

test('with as many beams as tokens, the likeliest of all pairs', async () => {
  const program = make();
  const prompt = randomTokens(5, 3);
  const first = await logProbabilities(program, prompt);
  let best = { tokens: [-1, -1], logProbability: -Infinity };
  for (const [token, value] of first.entries()) {
    const second = await logProbabilities(program, [...prompt, token]);
    for (const [next, more] of second.entries())
      if (value + more > best.logProbability) best = { tokens: [token, next], logProbability: value + more };
  }
  const [found] = await beamSearch(program, prompt, { beams: 73, maxTokens: 2 });
  expect(found?.tokens).toEqual(best.tokens);
  expect(found?.logProbability).toBeCloseTo(best.logProbability, 4);
});

test('agrees with a search that shares nothing, ends included', async () => {
  const program = make();
  let ends = 0;
  for (const seed of [1, 2, 3, 4]) {
    const prompt = randomTokens(4, seed);
    const end =
      (await logProbabilities(program, prompt))
        .map((value, token) => ({ value, token }))
        .sort((a, b) => b.value - a.value)[2]?.token ?? 0;
    const wanted = await plainSearch(program, prompt, 4, 5, end);
    const found = await beamSearch(program, prompt, { beams: 4, maxTokens: 5, endTokens: [end], returned: 4 });
    expect(found[0]?.score).toBeCloseTo(wanted[0]?.score ?? NaN, 4);
    const texts = found.map(({ tokens, ended }) => (ended ? [...tokens, end] : tokens));
    // Later ranks may differ in texts whose search had stopped, never in those that ended.
    expect(texts[0]).toEqual(wanted[0]?.tokens);
    ends += found.filter(({ ended }) => ended).length;
  }
  expect(ends).toBeGreaterThan(0);
});

test('gives all its blocks back, also when it is aborted', async () => {
  const program = make();
  const { freeBlocks } = program.stats();
  await beamSearch(program, randomTokens(20), { beams: 5, maxTokens: 30, returned: 3 });
  expect(program.stats().freeBlocks).toBe(freeBlocks);
  const stop = new AbortController();
  const search = beamSearch(program, randomTokens(20), { beams: 5, maxTokens: 200, signal: stop.signal });
  stop.abort(new Error('enough'));
  await expect(search).rejects.toThrow('enough');
  expect(program.stats().freeBlocks).toBe(freeBlocks);
});

test('bad options are refused', async () => {
  const program = make();
  const run = (options: object) => beamSearch(program, randomTokens(3), { beams: 2, maxTokens: 2, ...options });
  await expect(run({ beams: 0 })).rejects.toThrow(InvalidArgumentError);
  await expect(run({ returned: 3 })).rejects.toThrow(InvalidArgumentError);
  await expect(run({ lengthPenalty: -1 })).rejects.toThrow(InvalidArgumentError);
  await expect(run({ beam: 2 })).rejects.toThrow(UnknownOptionError);
});
