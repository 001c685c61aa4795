import { afterEach, expect, test } from '@jest/globals';
import { InvalidArgumentError } from './errors.ts';
import { Grammar } from './grammar/grammar.ts';
import { jsonSchemaGrammar } from './grammar/json-schema.ts';
import { NothingAllowedError } from './program-errors.ts';
import { Program } from './program.ts';
import { randomTokens, smallProgram } from './testing/small-program.ts';

const open: Program[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((program) => program.dispose()));
});

function make(): Program {
  const program = new Program(smallProgram());
  open.push(program);
  return program;
}

// The small program's 73 tokens: characters that JSON is made of, and an end.
const characters = Array.from('{}[]":,.-+0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXY ');
const endToken = 72;
const vocabulary = {
  tokens: [...characters.slice(0, endToken).map((text) => new TextEncoder().encode(text)), undefined].slice(0, 73),
  endTokens: [endToken],
};

async function write(program: Program, grammar: Grammar, seed: number, temperature = 1, maxTokens = 200) {
  using sequence = program.createSequence();
  const tokens: number[] = [];
  const options = { maxTokens, grammar, stopTokens: [endToken], sampling: { seed, temperature } };
  const { done } = program.generate(sequence, randomTokens(5, seed), options, (batch) => {
    tokens.push(...batch.tokens);
  });
  const finish = await done;
  return { text: tokens.map((token) => characters[token] ?? '?').join(''), finish };
}

test('a random model writes JSON of the schema', async () => {
  const schema = {
    properties: { id: { type: 'integer' }, kind: { enum: ['cat', 'dog'] } },
    required: ['id', 'kind'],
  } as const;
  const grammar = new Grammar(jsonSchemaGrammar(schema), vocabulary);
  const program = make();
  const written = await Promise.all(Array.from({ length: 8 }, (_, seed) => write(program, grammar, seed)));
  for (const { text, finish } of written) {
    const value = JSON.parse(text) as { id: number; kind: string };
    expect(Number.isInteger(value.id)).toBe(true);
    expect(['cat', 'dog']).toContain(value.kind);
    expect(finish.reason).toBe('stop');
  }
  expect(new Set(written.map(({ text }) => text)).size).toBeGreaterThan(1);
});

test('generation ends where nothing can follow', async () => {
  const { text, finish } = await write(make(), new Grammar('root ::= [ab]{4}', vocabulary), 1, 0);
  expect(text).toMatch(/^[ab]{4}$/);
  expect(finish).toMatchObject({ reason: 'stop', stopToken: undefined, generatedTokens: 4 });
});

test('the text is cut at maxTokens as any other', async () => {
  const { text, finish } = await write(make(), new Grammar('root ::= "a"*', { ...vocabulary, endTokens: [] }), 1, 1, 7);
  expect(text).toBe('aaaaaaa');
  expect(finish.reason).toBe('length');
});

test('a grammar whose next character no token has is a typed error', async () => {
  await expect(write(make(), new Grammar('root ::= "a" "é"', vocabulary), 1)).rejects.toThrow(NothingAllowedError);
});

test('a grammar over another vocabulary is refused', async () => {
  const grammar = new Grammar('root ::= "a"', { tokens: vocabulary.tokens.slice(1), endTokens: [] });
  await expect(write(make(), grammar, 1)).rejects.toThrow(InvalidArgumentError);
});
