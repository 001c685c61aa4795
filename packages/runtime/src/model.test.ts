import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ModelNotFoundError, UnsupportedArchitectureError } from '@llm/models';
import { ContextOverflowError, DisposedError, InvalidArgumentError, ProgramDisposedError } from '@llm/tensor';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { demoModel } from '../../../tools/test/shared-data.mjs';
import { EmptyContinuationError, MemoryLimitError, NoChatTemplateError } from './errors.ts';
import { logProbability } from './log-softmax.ts';
import { Model } from './model.ts';

const prompt = 'Once upon a time';

let model: Model;

beforeAll(async () => {
  model = await Model.load(demoModel(), { threads: 1 });
});

afterAll(async () => {
  await model.dispose();
});

describe('load', () => {
  test('says what it takes, before and after', async () => {
    const options = {
      weights: 'int4',
      threads: 1,
      contextLength: 256,
      kvCache: { type: 'int8', tokens: 512 },
    } as const;
    const estimate = await Model.estimateMemory(demoModel(), options);
    await using small = await Model.load(demoModel(), options);
    expect(small.memory).toEqual(estimate);
    const { cacheBytes, arenaBytes } = small.stats();
    expect(estimate.cache / cacheBytes).toBeGreaterThan(0.95);
    expect(estimate.cache / cacheBytes).toBeLessThan(1.05);
    expect(estimate.arena / arenaBytes).toBeGreaterThan(0.95);
    expect(estimate.arena / arenaBytes).toBeLessThan(1.05);
    expect(estimate.total).toBe(estimate.weights + estimate.cache + estimate.arena);
    // 3.9 million weights of 4.5 bits, 1 million of 8.5.
    const weights = (3_932_160 * 4.5 + 4096 * 256 * 8.5) / 8;
    expect(estimate.weights / weights).toBeGreaterThan(0.95);
    expect(estimate.weights / weights).toBeLessThan(1.05);
  });

  test.each(['f32', 'f16', 'bf16', 'int8'] as const)('the estimate of a %s cache is its size', async (type) => {
    await using small = await Model.load(demoModel(), { kvCache: { type, tokens: 640 } });
    expect(small.memory.cache / small.stats().cacheBytes).toBeCloseTo(1, 1);
  });

  test('refuses what does not fit maxMemory', async () => {
    const load = Model.load(demoModel(), { maxMemory: 1e6 });
    await expect(load).rejects.toThrow(MemoryLimitError);
    await expect(load).rejects.toThrow(/more than maxMemory \(1 MiB\)/);
  });

  test('reports progress and can be aborted', async () => {
    const seen: string[] = [];
    await using small = await Model.load(demoModel(), {
      weights: 'int4',
      onProgress: ({ stage, done, total }) => seen.push(`${stage} ${done}/${total}`),
    });
    expect(seen.at(-1)).toBe('quantize 36/36');
    expect(small.contextLength).toBe(512);

    const controller = new AbortController();
    const aborted = Model.load(demoModel(), {
      weights: 'int4',
      signal: controller.signal,
      onProgress: () => {
        controller.abort(new Error('changed my mind'));
      },
    });
    await expect(aborted).rejects.toThrow('changed my mind');
  });

  test('a context may be longer than the model was made for, where positions are computed', async () => {
    await using long = await Model.load(demoModel(), { contextLength: 1024 });
    expect(long.contextLength).toBe(1024);
  });

  test('what is no model is a clear error', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'no-model-'));
    try {
      await expect(Model.load(join(folder, 'missing'))).rejects.toThrow(ModelNotFoundError);
      await expect(Model.load(folder)).rejects.toThrow(ModelNotFoundError);
      writeFileSync(join(folder, 'config.json'), JSON.stringify({ model_type: 'perceptron' }));
      await expect(Model.load(folder)).rejects.toThrow(UnsupportedArchitectureError);
      await expect(Model.load(folder)).rejects.toThrow(/perceptron/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('generate', () => {
  test('the same seed gives the same story, another seed another', async () => {
    const tell = (seed: number): Promise<string> =>
      model.generate(prompt, { maxTokens: 40, temperature: 1, seed }).text;
    const [a, b, c] = await Promise.all([tell(1), tell(1), tell(2)]);
    expect(a).toBe(b);
    expect(a).not.toBe(c);
  });

  test('streams what it says, and says why it ended', async () => {
    const generation = model.generate(prompt, { maxTokens: 30 });
    const pieces: string[] = [];
    for await (const piece of generation) pieces.push(piece);
    expect(pieces.length).toBeGreaterThan(10);
    expect(await generation.text).toBe(pieces.join(''));
    expect(await generation.finishReason).toBe('length');
    expect(await generation.usage).toMatchObject({ promptTokens: 5, generatedTokens: 30 });
  });

  test('goes on to the end of the story, which is no part of the text', async () => {
    const generation = model.generate(prompt, { seed: 3, temperature: 0.7 });
    expect(await generation.finishReason).toBe('stop');
    expect(await generation.text).not.toContain('</s>');
  });

  test('goes on to the end of the context where nothing stops it', async () => {
    await using small = await Model.load(demoModel(), { threads: 1, contextLength: 40 });
    const generation = small.generate(prompt, { stopTokens: [] });
    expect(await generation.finishReason).toBe('context');
    const { promptTokens, generatedTokens } = await generation.usage;
    // The last token needs no place of its own.
    expect(promptTokens + generatedTokens).toBe(41);
  });

  test('stop strings end it where they begin', async () => {
    const whole = await model.generate(prompt, { maxTokens: 60 }).text;
    const at = whole.indexOf('. ');
    const generation = model.generate(prompt, { maxTokens: 60, stop: ['. '] });
    expect(await generation.text).toBe(whole.slice(0, at));
    expect(await generation.finishReason).toBe('stop');
  });

  test('token ids and text are the same prompt', async () => {
    const ids = model.tokenizer.encode(prompt);
    const [text, tokens] = [model.generate(prompt, { maxTokens: 20 }), model.generate(ids, { maxTokens: 20 })];
    expect(await tokens.text).toBe(await text.text);
    expect(model.tokenizer.decode([...ids, ...(await tokens.tokens)])).toBe(prompt + (await text.text));
  });

  test('log-probabilities are those of the logits', async () => {
    const ids = model.tokenizer.encode(prompt);
    const generation = model.generate(ids, { maxTokens: 3, logProbabilities: true, temperature: 1, seed: 5 });
    const given: number[] = [];
    for await (const part of generation.parts)
      if (part.type === 'text-delta') given.push(...(part.logProbabilities ?? []));
    const tokens = await generation.tokens;
    expect(given).toHaveLength(3);
    for (const [i, token] of tokens.entries()) {
      const logits = await model.logits([...ids, ...tokens.slice(0, i)]);
      expect(given[i]).toBeCloseTo(logProbability(logits, token), 4);
    }
  });

  test('penalties and biases reach the sampler', async () => {
    const forbidden = (await model.generate(prompt, { maxTokens: 1 }).tokens)[0] ?? 0;
    const other = model.generate(prompt, { maxTokens: 1, logitBias: new Map([[forbidden, -100]]) });
    expect((await other.tokens)[0]).not.toBe(forbidden);
    const varied = await model.generate(prompt, { maxTokens: 40, stopTokens: [], frequencyPenalty: 100 }).tokens;
    expect(new Set(varied).size).toBe(40);
  });

  test('what the context cannot hold, and empty prompts, are refused at once', () => {
    expect(() => model.generate(new Array<number>(513).fill(5))).toThrow(ContextOverflowError);
    expect(() => model.generate([])).toThrow(InvalidArgumentError);
    expect(() => model.generate([4096])).toThrow(InvalidArgumentError);
    expect(() => model.generate([{ role: 'user', content: 'Hi' }])).toThrow(NoChatTemplateError);
  });

  test('a prompt that begins like an earlier one reuses its part of the cache', async () => {
    const story = Array.from({ length: 150 }, (_, i) => 300 + ((i * 7) % 500));
    await model.generate([...story, 261], { maxTokens: 2 }).text;
    const again = model.generate([...story, 265], { maxTokens: 10, stopTokens: [] });
    // Whole blocks are found again.
    expect((await again.usage).cachedTokens).toBe(128);
    await using fresh = await Model.load(demoModel(), { threads: 1 });
    expect(await again.tokens).toEqual(await fresh.generate([...story, 265], { maxTokens: 10, stopTokens: [] }).tokens);
  });

  test('many at once say what each says alone', async () => {
    const prompts = ['Once upon a time', 'The little dog', 'One day, Lily', 'Tom and his', 'A big red ball', 'Ben had'];
    const alone: string[] = [];
    for (const each of prompts) alone.push(await model.generate(each, { maxTokens: 24 }).text);
    const together = await Promise.all(prompts.map((each) => model.generate(each, { maxTokens: 24 }).text));
    expect(together).toEqual(alone);
  });
});

describe('speculation', () => {
  test('says the same, and the guesses of the model itself are all right', async () => {
    await using drafted = await Model.load(demoModel(), { threads: 1, draft: demoModel() });
    const repeating = 'The cat was big. The cat was big. The cat was';
    const tell = (speculation: 'none' | 'promptLookup' | 'draftModel') =>
      drafted.generate(repeating, { maxTokens: 40, stopTokens: [], speculation });
    const [plain, lookedUp, guessed] = [tell('none'), tell('promptLookup'), tell('draftModel')];
    const text = await plain.text;
    expect(await lookedUp.text).toBe(text);
    expect(await guessed.text).toBe(text);
    const { draftedTokens, acceptedTokens } = await guessed.usage;
    // How many are guessed at all depends on the time they gain.
    expect(acceptedTokens).toBe(draftedTokens);
    expect(drafted.memory.weights).toBe(2 * model.memory.weights);
  });

  test('a draft with another vocabulary is refused', async () => {
    const other = join(import.meta.dirname, '../../models/fixtures/llama');
    await expect(Model.load(demoModel(), { draft: other })).rejects.toThrow('models with 4096 tokens');
  });
});

describe('beam search', () => {
  test('finds texts at least as likely as the greedy one', async () => {
    const options = { beams: 4, returned: 2, maxTokens: 12, lengthPenalty: 0, stopTokens: [] };
    const [best, second] = await model.beamSearch(prompt, options);
    const greedy = await model.generate(prompt, { maxTokens: 12, stopTokens: [] }).tokens;
    const ids = model.tokenizer.encode(prompt);
    const likelihood = async (tokens: readonly number[]): Promise<number> =>
      (await model.score(ids, tokens)).logProbabilities.reduce((sum, value) => sum + value, 0);
    expect(best?.logProbability).toBeCloseTo(await likelihood(best?.tokens ?? []), 3);
    expect(best?.logProbability).toBeGreaterThanOrEqual((await likelihood(greedy)) - 1e-3);
    expect(best?.logProbability).toBeGreaterThan(second?.logProbability ?? NaN);
    expect(model.tokenizer.decode([...ids, ...(best?.tokens ?? [])])).toBe(prompt + (best?.text ?? ''));
    await expect(model.beamSearch(prompt, { ...options, beam: 3 } as typeof options)).rejects.toThrow('beams');
  });
});

describe('logits', () => {
  test('the last row of all positions is the last position', async () => {
    const ids = model.tokenizer.encode('The little dog ran');
    const all = await model.logits(ids, { positions: 'all' });
    expect(all).toHaveLength(ids.length * model.vocabularySize);
    expect(all.subarray(-model.vocabularySize)).toEqual(await model.logits(ids));
  });

  test('what cannot be asked for is refused', async () => {
    await expect(model.logits([])).rejects.toThrow(InvalidArgumentError);
    await expect(model.logits(new Array<number>(513).fill(5))).rejects.toThrow(ContextOverflowError);
    await expect(model.logits([1], { position: 'all' } as object)).rejects.toThrow('Did you mean positions?');
    await expect(model.logits([1], { signal: AbortSignal.abort('no') })).rejects.toBe('no');
  });
});

describe('score', () => {
  test('adds up to the probability of the text', async () => {
    const [context, continuation] = ['Once upon a', ' time, there was'];
    const { logProbabilities, tokens, greedy } = await model.score(context, continuation);
    const ids = model.tokenizer.encode(context + continuation);
    expect(tokens).toEqual(ids.slice(-tokens.length));
    const logits = await model.logits(ids.slice(0, -1), { positions: 'all' });
    tokens.forEach((token, i) => {
      const row = ids.length - 1 - tokens.length + i;
      const expected = logProbability(logits.subarray(row * 4096, (row + 1) * 4096), token);
      expect(logProbabilities[i]).toBeCloseTo(expected, 5);
    });
    expect(greedy).toBe(true);
    expect((await model.score(context, ' zebra')).greedy).toBe(false);
  });

  test('an empty context is the begin of a text, and an empty continuation an error', async () => {
    const { tokens } = await model.score('', 'Once');
    expect(tokens).toEqual(model.tokenizer.encode('Once', { addSpecialTokens: false }));
    await expect(model.score('Once', '')).rejects.toThrow(EmptyContinuationError);
  });

  test('a text beyond the context is cut off on the left', async () => {
    const long = Array.from({ length: 600 }, (_, i) => 300 + (i % 50));
    const cut = await model.score(long, [7, 8]);
    const fits = await model.score(long.slice(-511), [7, 8]);
    expect(cut.logProbabilities).toEqual(fits.logProbabilities);
  });
});

describe('embed', () => {
  test('vectors of length 1 of the width of the model; like texts are nearer', async () => {
    const embed = (text: string): Promise<Float32Array> => model.embed(text);
    const [dog, puppy, rain] = await Promise.all([
      embed('The little dog ran in the park.'),
      embed('The small dog ran to the park.'),
      embed('"I am sorry," said the king.'),
    ]);
    const cosine = (a: Float32Array, b: Float32Array): number =>
      a.reduce((sum, value, i) => sum + value * (b[i] ?? NaN), 0);
    expect(dog).toHaveLength(256);
    expect(cosine(dog, dog)).toBeCloseTo(1, 5);
    expect(cosine(dog, puppy)).toBeGreaterThan(cosine(dog, rain));
  });

  test('mean and last pool the hidden states', async () => {
    const ids = model.tokenizer.encode('The little dog');
    using sequence = model.program.createSequence();
    const states = await model.program.forward(sequence, Int32Array.from(ids), { outputs: 'all', hidden: true });
    const last = await model.embed(ids, { pooling: 'last', normalize: false });
    expect(last).toEqual(states.subarray(-256));
    const mean = await model.embed(ids, { normalize: false });
    const column = ids.reduce((sum, _, row) => sum + (states[row * 256 + 9] ?? NaN), 0) / ids.length;
    expect(mean[9]).toBeCloseTo(column, 5);
  });
});

describe('dispose', () => {
  test('ends what is running, and nothing can be used afterwards', async () => {
    const short = await Model.load(demoModel(), { threads: 1 });
    const session = short.session();
    const running = [short.generate(prompt, { stopTokens: [] }), session.generate(prompt, { stopTokens: [] })];
    await short.dispose();
    await expect(running[0]?.text).rejects.toThrow(ProgramDisposedError);
    await running[1]?.text.catch(() => undefined);
    expect(() => short.generate(prompt)).toThrow(DisposedError);
    expect(() => short.session()).toThrow(DisposedError);
    expect(() => session.generate(prompt)).toThrow(DisposedError);
    await expect(short.logits([1])).rejects.toThrow(DisposedError);
    await short.dispose();
  });
});

test('loading and disposing again and again takes no more memory', async () => {
  const load = async (): Promise<number> => {
    for (let round = 0; round < 5; round++) {
      await using short = await Model.load(demoModel(), { weights: 'int4', threads: 1, contextLength: 64 });
      await short.generate(prompt, { maxTokens: 2 }).text;
    }
    return process.memoryUsage().rss;
  };
  // What a process takes once and for all, it has after the first rounds.
  await load();
  const before = await load();
  const after = await load();
  // The quantized weights of each round alone are 3 MiB.
  expect(after - before).toBeLessThan(8 * 2 ** 20);
});
