import { describe, expect, test } from '@jest/globals';
import type { GenerationFinish, TokenBatch } from '@llm/tensor';

import { Generation, type Answer, type GenerationPart } from './generation.ts';

const finish: GenerationFinish = {
  reason: 'length',
  stopToken: undefined,
  promptTokens: 3,
  reusedTokens: 1,
  generatedTokens: 4,
  promptSeconds: 0.25,
  generateSeconds: 0.5,
  draftedTokens: 0,
  acceptedTokens: 0,
};

/** An engine in the hands of the test: letters are tokens. */
class FakeEngine {
  readonly answers: Answer[] = [];
  cancelled = 0;
  #onTokens: (batch: TokenBatch) => void = () => undefined;
  #resolve: (finish: GenerationFinish) => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;

  start(options: { stop?: string[]; signal?: AbortSignal } = {}): Generation {
    return new Generation({
      begin: (onTokens) => {
        this.#onTokens = onTokens;
        const done = new Promise<GenerationFinish>((resolve, reject) => {
          this.#resolve = resolve;
          this.#reject = reject;
        });
        return {
          cancel: () => {
            this.cancelled++;
            this.end('cancelled');
          },
          done,
        };
      },
      decoder: { push: (id) => String.fromCodePoint(id), flush: () => '' },
      stop: options.stop ?? [],
      cachedTokens: 10,
      signal: options.signal,
      finished: (answer) => this.answers.push(answer),
    });
  }

  say(text: string): void {
    this.#onTokens({
      tokens: Int32Array.from(text, (letter) => letter.codePointAt(0) ?? 0),
      logProbabilities: undefined,
    });
  }

  end(reason: GenerationFinish['reason'] = 'length'): void {
    this.#resolve({ ...finish, reason });
  }

  fail(error: unknown): void {
    this.#reject(error);
  }
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Lets everything that waits for a promise go on. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('pieces, text, usage and reason', async () => {
  const engine = new FakeEngine();
  const generation = engine.start();
  const pieces = collect(generation);
  engine.say('ab');
  await settle();
  engine.say('c');
  engine.end();
  expect((await pieces).join('')).toBe('abc');
  expect(await generation.text).toBe('abc');
  expect(await generation.tokens).toEqual([97, 98, 99]);
  expect(await generation.finishReason).toBe('length');
  expect(await generation.usage).toMatchObject({
    promptTokens: 13,
    cachedTokens: 11,
    generatedTokens: 3,
    promptSeconds: 0.25,
  });
  expect(engine.answers).toEqual([{ tokens: [97, 98, 99], text: 'abc', reason: 'length', exact: true }]);
});

test('every consumer sees the whole answer, also one that comes late', async () => {
  const engine = new FakeEngine();
  const generation = engine.start();
  engine.say('abc');
  engine.end();
  await generation.text;
  const [parts, pieces] = await Promise.all([collect<GenerationPart>(generation.parts), collect(generation)]);
  expect(pieces.join('')).toBe('abc');
  expect(parts.map(({ type }) => type)).toEqual(['text-delta', 'text-delta', 'text-delta', 'finish']);
});

describe('leaving early', () => {
  test('break stops the work and keeps what has come', async () => {
    const engine = new FakeEngine();
    const generation = engine.start();
    engine.say('abc');
    for await (const piece of generation) {
      expect(piece).toBe('a');
      break;
    }
    expect(engine.cancelled).toBe(1);
    expect(await generation.finishReason).toBe('aborted');
    expect(await generation.text).toBe('abc');
    expect(engine.answers[0]?.exact).toBe(false);
  });

  test('so does a consumer that throws', async () => {
    const engine = new FakeEngine();
    const generation = engine.start();
    engine.say('abc');
    const consume = async (): Promise<void> => {
      for await (const piece of generation) throw new Error(`no more after ${piece}`);
    };
    await expect(consume()).rejects.toThrow('no more after a');
    expect(engine.cancelled).toBe(1);
  });

  test('an iterator that is forgotten holds nothing up', async () => {
    const engine = new FakeEngine();
    const generation = engine.start();
    const iterator = generation[Symbol.asyncIterator]();
    engine.say('ab');
    expect(await iterator.next()).toEqual({ value: 'a', done: false });
    engine.say('c');
    engine.end();
    expect(await generation.text).toBe('abc');
    expect(engine.cancelled).toBe(0);
  });
});

describe('abort', () => {
  test('rejects everything with the reason of the signal', async () => {
    const engine = new FakeEngine();
    const controller = new AbortController();
    const generation = engine.start({ signal: controller.signal });
    const pieces = collect(generation);
    engine.say('a');
    await settle();
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(pieces).rejects.toBe(reason);
    for (const part of [generation.text, generation.usage, generation.finishReason, generation.tokens])
      await expect(part).rejects.toBe(reason);
    expect(engine.cancelled).toBe(1);
    expect(engine.answers).toHaveLength(1);
  });

  test('before the start, nothing starts', async () => {
    const engine = new FakeEngine();
    const generation = engine.start({ signal: AbortSignal.abort('too late') });
    await expect(generation.text).rejects.toBe('too late');
    expect(engine.cancelled).toBe(0);
  });

  test('after the end changes nothing', async () => {
    const engine = new FakeEngine();
    const controller = new AbortController();
    const generation = engine.start({ signal: controller.signal });
    engine.say('a');
    engine.end();
    expect(await generation.text).toBe('a');
    controller.abort();
    expect(await generation.text).toBe('a');
    expect(engine.cancelled).toBe(0);
  });
});

test('an error of the engine reaches whoever waits, and nobody else', async () => {
  const engine = new FakeEngine();
  const generation = engine.start();
  const pieces = collect(generation);
  engine.say('a');
  engine.fail(new Error('out of blocks'));
  await expect(pieces).rejects.toThrow('out of blocks');
  await expect(generation.usage).rejects.toThrow('out of blocks');

  const unwatched = new FakeEngine();
  unwatched.start();
  unwatched.fail(new Error('nobody hears this'));
  // An unhandled rejection would fail the test run.
  await settle();
  expect(unwatched.answers).toHaveLength(1);
});

test('a stop string ends the generation across tokens and is no part of the text', async () => {
  const engine = new FakeEngine();
  const generation = engine.start({ stop: ['END'] });
  const pieces = collect(generation);
  for (const letter of 'some E text EN') {
    engine.say(letter);
    await settle();
  }
  engine.say('D and more');
  expect((await pieces).join('')).toBe('some E text ');
  expect(await generation.text).toBe('some E text ');
  expect(await generation.finishReason).toBe('stop');
  expect(engine.cancelled).toBe(1);
  expect(engine.answers[0]?.exact).toBe(false);
});

test('text held back for a stop string that never comes is delivered at the end', async () => {
  const engine = new FakeEngine();
  const generation = engine.start({ stop: ['END'] });
  engine.say('the EN');
  engine.end();
  expect(await generation.text).toBe('the EN');
});
