import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ContextOverflowError, DisposedError, SequenceBusyError } from '@llm/tensor';

import { demoModel } from '../../../tools/test/shared-data.mjs';
import { Model } from './model.ts';
import { encodeContinuation } from './prompt.ts';

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
