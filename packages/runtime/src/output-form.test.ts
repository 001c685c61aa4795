import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { InvalidGrammarError, InvalidOptionError, UnsupportedSchemaError, type JsonSchema } from '@llm/tensor';
import { demoModel, sharedData } from '../../../tools/test/shared-data.mjs';

import { Model } from './model.ts';

// Everything is bounded, so that every answer is complete before the limit.
const character = {
  type: 'object',
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 12 },
    kind: { enum: ['cat', 'dog', 'girl "x"', null] },
    age: { type: 'integer' },
    friends: { type: 'array', items: { type: 'string', maxLength: 6 }, maxItems: 3 },
    happy: { type: 'boolean' },
  },
  required: ['name', 'kind', 'age', 'friends'],
} as const satisfies JsonSchema;

function expectCharacter(text: string): void {
  const value = JSON.parse(text) as Record<string, unknown>;
  const { name, kind, age, friends, happy, ...more } = value;
  expect(more).toEqual({});
  expect(name).toEqual(expect.stringMatching(/^.{1,12}$/su));
  expect([...character.properties.kind.enum]).toContain(kind);
  expect(Number.isInteger(age)).toBe(true);
  expect(Array.isArray(friends) && friends.length <= 3).toBe(true);
  for (const friend of friends as unknown[]) expect(friend).toEqual(expect.stringMatching(/^.{0,6}$/su));
  expect(['boolean', 'undefined']).toContain(typeof happy);
}

const models = {
  'the shipped model': { source: demoModel(), count: 8 },
  smollm2: { source: sharedData('smollm2-135m-instruct'), count: 3 },
};

describe.each(Object.entries(models))('%s', (_, { source, count }) => {
  let model: Model;
  beforeAll(async () => {
    if (source !== undefined) model = await Model.load(await gguf(source), { contextLength: 512 });
  });
  afterAll(async () => {
    if (source !== undefined) await model.dispose();
  });
  const testIfThere = source === undefined ? test.skip : test;

  testIfThere('whatever is drawn, it parses and validates', async () => {
    const answers = Array.from({ length: count }, (_, seed) =>
      model.generate('Once upon a time there was', {
        jsonSchema: character,
        temperature: seed === 0 ? 0 : 0.5 + seed / 4,
        seed,
        maxTokens: 400,
      }),
    );
    for (const answer of answers) {
      expectCharacter(await answer.text);
      expect(await answer.finishReason).toBe('stop');
    }
    const texts = await Promise.all(answers.map((answer) => answer.text));
    expect(new Set(texts).size).toBeGreaterThan(count / 2);
  });

  testIfThere('a grammar with characters beyond ASCII, beside answers without one', async () => {
    const free = model.generate('Once upon a time', { maxTokens: 20 });
    const grammar = 'root ::= ("ja" | "né" | "😀" | "[" [a-c]{2,4} "]"){3}';
    const bound = Array.from({ length: count }, (_, seed) =>
      model.generate('Once upon a time', { grammar, temperature: 2, seed, maxTokens: 100 }),
    );
    for (const answer of bound) expect(await answer.text).toMatch(/^(?:ja|né|😀|\[[a-c]{2,4}\]){3}$/u);
    const alone = model.generate('Once upon a time', { maxTokens: 20 });
    expect(await free.text).toBe(await alone.text);
  });

  testIfThere('every token is one of the text, a control token or none', () => {
    const { tokenizer } = model;
    const text = 'Tom said: "né 😀 {1}"';
    const ids = tokenizer.encode(text, { addSpecialTokens: false });
    const bytes = ids.flatMap((id) => [...(tokenizer.tokenBytes(id) ?? [])]);
    // Some tokenizers put a space in front of every text.
    expect(new TextDecoder().decode(Uint8Array.from(bytes)).trimStart()).toBe(text);
    for (const id of model.eosTokenIds) expect(tokenizer.tokenBytes(id)).toBeUndefined();
    expect(tokenizer.tokenBytes(model.vocabularySize)).toBeUndefined();
  });
});

async function gguf(folder: string): Promise<string> {
  const { readdir } = await import('node:fs/promises');
  const file = (await readdir(folder)).find((name) => name.endsWith('.gguf'));
  return file === undefined ? folder : `${folder}/${file}`;
}

describe('errors and ends', () => {
  let model: Model;
  beforeAll(async () => {
    model = await Model.load(demoModel());
  });
  afterAll(() => model.dispose());

  test('bad forms are typed errors, at once, and leave nothing behind', () => {
    const before = model.stats().freeBlocks;
    const prompt = 'Once';
    expect(() => model.generate(prompt, { grammar: 'root ::= "a' })).toThrow(InvalidGrammarError);
    expect(() => model.generate(prompt, { grammar: 'root = "a"' })).toThrow(InvalidGrammarError);
    expect(() => model.generate(prompt, { jsonSchema: { multipleOf: 3 } })).toThrow(UnsupportedSchemaError);
    expect(() => model.generate(prompt, { jsonSchema: { $ref: '#/nowhere' } })).toThrow('#/nowhere');
    expect(() => model.generate(prompt, { grammar: 'root ::= "a"', jsonSchema: true })).toThrow(InvalidOptionError);
    const session = model.session();
    expect(() => session.generate(prompt, { jsonSchema: { type: 'date' } })).toThrow(UnsupportedSchemaError);
    session.dispose();
    expect(model.stats().freeBlocks).toBe(before);
  });

  test('a session goes on after an answer with a form', async () => {
    using session = model.session();
    const first = session.generate('Once upon a time', { jsonSchema: { enum: [1, 2] }, maxTokens: 30 });
    expect([1, 2]).toContain(JSON.parse(await first.text));
    const second = session.generate(' there was', { maxTokens: 5 });
    expect(await second.tokens).toHaveLength(5);
  });

  test('maxTokens cuts a form as any other answer', async () => {
    const answer = model.generate('Once', { grammar: 'root ::= "a"*', stopTokens: [], maxTokens: 7, temperature: 1 });
    expect(await answer.text).toMatch(/^a+$/);
    expect(await answer.finishReason).toBe('length');
  });

  test('stop strings hold inside a form', async () => {
    const answer = model.generate('Once', { grammar: 'root ::= "aaaa;bbbb"', stop: ';' });
    expect(await answer.text).toBe('aaaa');
    expect(await answer.finishReason).toBe('stop');
  });

  test('an answer ends at the end of its grammar, without an end token', async () => {
    const answer = model.generate('Once', { grammar: 'root ::= "yes" | "no"', stopTokens: [] });
    expect(['yes', 'no']).toContain(await answer.text);
    expect(await answer.finishReason).toBe('stop');
  });
});
