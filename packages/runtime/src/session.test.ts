import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { ContextOverflowError, DisposedError, SequenceBusyError, SequenceFileError } from '@llm/tensor';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { demoModel, sharedData } from '../../../tools/test/shared-data.mjs';
import { Model } from './model.ts';
import { encodeContinuation } from './prompt.ts';

jest.setTimeout(60_000);

let model: Model;

beforeAll(async () => {
  model = await Model.load(demoModel(), { threads: 1 });
});

afterAll(async () => {
  await model.dispose();
});

test('a text goes on turn by turn, and only what is new is computed', async () => {
  using session = model.session();
  const first = await session.generate('Once upon a time', { maxTokens: 20 }).text;
  const turn = session.generate(' Then', { maxTokens: 10 });
  const [second, usage] = [await turn.text, await turn.usage];
  // The last token of the first turn, and the new ones.
  expect(usage.promptTokens - usage.cachedTokens).toBe(1 + encodeContinuation(' Then', model.tokenizer).length);

  const whole = [
    ...model.tokenizer.encode('Once upon a time'),
    ...(await model.generate('Once upon a time', { maxTokens: 20 }).tokens),
  ];
  const then = encodeContinuation(' Then', model.tokenizer);
  expect(await model.generate([...whole, ...then], { maxTokens: 10 }).text).toBe(second);
  expect(model.tokenizer.decode(session.tokens)).toBe(`Once upon a time${first} Then${second}`);
});

test('a fork goes its own way from the same past', async () => {
  using session = model.session();
  await session.generate('The little dog', { maxTokens: 10 }).text;
  using fork = session.fork();
  const [a, b] = await Promise.all([
    session.generate(' was happy', { maxTokens: 10 }).text,
    fork.generate(' was sad', { maxTokens: 10 }).text,
  ]);
  expect(a).not.toBe(b);
  using other = model.session();
  await other.generate('The little dog', { maxTokens: 10 }).text;
  expect(await other.generate(' was sad', { maxTokens: 10 }).text).toBe(b);
});

test('one turn at a time', async () => {
  using session = model.session();
  const running = session.generate('One day', { maxTokens: 20 });
  expect(() => session.generate('another')).toThrow(SequenceBusyError);
  expect(() => session.fork()).toThrow(SequenceBusyError);
  expect(() => {
    session.reset();
  }).toThrow(SequenceBusyError);
  await running.text;
  session.reset();
  expect(session.tokens).toEqual([]);
  expect(await session.generate('One day', { maxTokens: 20 }).text).toBe(await running.text);
});

test('an aborted turn leaves a session that can go on', async () => {
  using session = model.session();
  const controller = new AbortController();
  const turn = session.generate('Once upon a time', { stopTokens: [], signal: controller.signal });
  for await (const piece of turn) if (piece) break;
  expect(await turn.finishReason).toBe('aborted');
  const said = session.tokens;
  const rest = await session.generate(' The end', { maxTokens: 5 }).tokens;
  const end = encodeContinuation(' The end', model.tokenizer);
  expect(rest).toEqual(await model.generate([...said, ...end], { maxTokens: 5 }).tokens);
});

test('a turn that does not fit is refused and changes nothing', async () => {
  using session = model.session();
  await session.generate('Once', { maxTokens: 4 }).text;
  const before = session.tokens;
  expect(() => session.generate(new Array<number>(510).fill(7))).toThrow(ContextOverflowError);
  expect(session.tokens).toEqual(before);
  expect(await session.generate(' upon', { maxTokens: 2 }).tokens).toHaveLength(2);
});

test('dispose gives the blocks back and stops a running turn', async () => {
  const { freeBlocks } = model.stats();
  const session = model.session();
  const turn = session.generate('Once upon a time', { stopTokens: [] });
  session.dispose();
  session.dispose();
  expect(await turn.finishReason).toBe('aborted');
  expect(model.stats().freeBlocks).toBe(freeBlocks);
  expect(() => session.generate('more')).toThrow(DisposedError);
});

describe('a saved session', () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'session-'));
  });

  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  test('goes on where it was, in another model of the same kind', async () => {
    using session = model.session();
    await session.generate('Once upon a time', { maxTokens: 90 }).text;
    const path = join(folder, 'story');
    await session.save(path);
    await using other = await Model.load(demoModel(), { threads: 1 });
    using restored = await other.restoreSession(path);
    expect(restored.tokens).toEqual(session.tokens);
    const [a, b] = [session.generate(' Then', { maxTokens: 20 }), restored.generate(' Then', { maxTokens: 20 })];
    expect(await b.text).toBe(await a.text);
    expect((await b.usage).cachedTokens).toBe((await a.usage).cachedTokens);
  });

  test('that is damaged, or of another kind of cache, is refused', async () => {
    using session = model.session();
    await session.generate('Once', { maxTokens: 5 }).text;
    const path = join(folder, 'damaged');
    await session.save(path);
    await using other = await Model.load(demoModel(), { threads: 1, kvCache: { type: 'int8' } });
    await expect(other.restoreSession(path)).rejects.toThrow(SequenceFileError);

    const state = join(path, 'session.json');
    const text = readFileSync(state, 'utf8');
    writeFileSync(state, text.replace('"ids":[1,', '"ids":[2,'));
    await expect(model.restoreSession(path)).rejects.toThrow('different sessions');
    writeFileSync(state, text.slice(0, -1));
    await expect(model.restoreSession(path)).rejects.toThrow(SequenceFileError);
    await expect(model.restoreSession(join(folder, 'absent'))).rejects.toThrow('ENOENT');
    const { freeBlocks, blocks } = model.stats();
    session.dispose();
    expect(model.stats().freeBlocks).toBeGreaterThan(freeBlocks);
    expect(model.stats().freeBlocks).toBe(blocks);
  });
});

describe('a full context', () => {
  test('moves on within an answer', async () => {
    await using small = await Model.load(demoModel(), { threads: 1, contextLength: 192, kvCache: { tokens: 256 } });
    using session = small.session();
    const options = { maxTokens: 300, stopTokens: [], contextShift: { keep: 64 } };
    const answer = session.generate('Once upon a time', options);
    expect(await answer.tokens).toHaveLength(300);
    expect(await answer.finishReason).toBe('length');
    // What the session says it holds is what is left in the cache, and it goes on from there.
    expect(session.tokens.length).toBeLessThanOrEqual(193);
    expect(session.tokens.slice(-20)).toEqual((await answer.tokens).slice(-20));
    expect(session.tokens.slice(0, 5)).toEqual(small.tokenizer.encode('Once upon a time'));
    expect(await session.generate(' The end', { ...options, maxTokens: 5 }).tokens).toHaveLength(5);
  });

  test('makes room for the next turn', async () => {
    await using small = await Model.load(demoModel(), { threads: 1, contextLength: 192, kvCache: { tokens: 256 } });
    using session = small.session();
    await session.generate(new Array<number>(180).fill(300), { maxTokens: 1 }).text;
    const turn = new Array<number>(50).fill(301);
    expect(() => session.generate(turn, { maxTokens: 4 })).toThrow(ContextOverflowError);
    const answer = session.generate(turn, { maxTokens: 4, stopTokens: [], contextShift: { keep: 0 } });
    expect(await answer.tokens).toHaveLength(4);
    // Of 180 tokens half were forgotten, in whole blocks.
    expect((await answer.usage).cachedTokens).toBe(180 - 128);
    expect(() => session.generate(new Array<number>(200).fill(7), { contextShift: { keep: 0 } })).toThrow(
      ContextOverflowError,
    );
  });
});

const smol = sharedData('smollm2-135m-instruct', 'SmolLM2-135M-Instruct.Q4_1.gguf');

(smol === undefined ? test.skip : test)('a chat model answers, and each turn runs only its own tokens', async () => {
  await using chat = await Model.load(smol ?? '', { contextLength: 512 });
  using session = chat.session();
  const ask = (content: string) => session.generate([{ role: 'user', content }], { maxTokens: 20 });
  expect(await ask('What is the capital of France?').text).toContain('Paris');
  const second = ask('And of Italy?');
  expect(await second.text).toContain('Rome');
  const { promptTokens, cachedTokens } = await second.usage;
  expect(promptTokens - cachedTokens).toBeLessThan(20);
  expect(session.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant']);
  // The conversation as the tokens have it is the conversation as the template writes it.
  const written = chat.chatTemplate?.render(session.messages, { addGenerationPrompt: false }) ?? '';
  expect(written.startsWith(chat.tokenizer.decode(session.tokens, { skipSpecialTokens: false }))).toBe(true);
});
