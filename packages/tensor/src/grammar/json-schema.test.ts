import { expect, test } from '@jest/globals';
import { randomGenerator } from '../testing/random-matrix.ts';
import { Grammar } from './grammar.ts';
import { jsonSchemaGrammar, UnsupportedSchemaError, type JsonSchema } from './json-schema.ts';

const endToken = 256;
const vocabulary = {
  tokens: [...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)), undefined],
  endTokens: [endToken],
};

function grammarOf(schema: JsonSchema): Grammar {
  return new Grammar(jsonSchemaGrammar(schema), vocabulary);
}

function accepts(grammar: Grammar, text: string): boolean {
  using written = grammar.begin();
  return new TextEncoder().encode(text).every((byte) => written.accept(byte)) && written.canEnd;
}

const person: JsonSchema = {
  type: 'object',
  title: 'A person',
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 5 },
    age: { type: 'integer' },
    tags: { type: 'array', items: { enum: ['a', 'b\n"', 3, null] }, minItems: 1, maxItems: 2 },
    friend: { $ref: '#' },
  },
  required: ['name', 'tags'],
};

const cases: [string, JsonSchema, readonly string[], readonly string[]][] = [
  [
    'objects',
    person,
    [
      '{"name":"Ada","tags":["a"]}',
      ' { "name" : "A" , "age": -12, "tags":\n[ "b\\n\\"", 3 ] }',
      '{"name":"é\\u00e9😀","tags":[null],"friend":{"name":"B","tags":["a"]}}',
    ],
    [
      '{}',
      '{"name":"","tags":["a"]}',
      '{"name":"Adasdf","tags":["a"]}',
      '{"name":"Ada","tags":[]}',
      '{"name":"Ada","tags":["a","a","a"]}',
      '{"tags":["a"],"name":"Ada"}',
      '{"name":"Ada","age":01,"tags":["a"]}',
      '{"name":"Ada","tags":["a"],"more":1}',
      '{"name":"Ada","tags":["c"]}',
      '{"name":"Ada","tags":["a"]},',
    ],
  ],
  [
    'optional properties, in every combination',
    { properties: { a: { type: 'null' }, b: { const: 1 }, c: { type: 'boolean' } } },
    [
      '{}',
      '{"a":null}',
      '{"b":1}',
      '{"c":true}',
      '{"a":null,"c":false}',
      '{"a":null,"b":1,"c":true}',
      '{"b":1,"c":true}',
    ],
    ['{,"b":1}', '{"b":1,}', '{"b":1,"a":null}', '{"b":2}', '{"a":null"b":1}'],
  ],
  [
    'other properties, not under the known names',
    { properties: { id: { type: 'integer' }, ib: true }, required: ['id'], additionalProperties: { type: 'string' } },
    ['{"id":1}', '{"id":1,"x":"y"}', '{"id":1,"i":"y","idx":"z","":"e"}', '{"id":1,"ib":[],"k":"v"}'],
    ['{"x":"y"}', '{"id":1,"x":2}', '{"id":1,"id":"1"}', '{"id":1,"ib":"x","ib":"y"}', '{"id":1,"\\u0069b":"x"}'],
  ],
  [
    'any value',
    true,
    ['{"a":[1,2.5e-3,{"b":null}]}', '"x"', 'true', '-0.5'],
    ['{a:1}', "'x'", '[1,]', '+1', '.5', '1.'],
  ],
  [
    'tuples',
    { type: 'array', prefixItems: [{ type: 'integer' }, { type: 'string' }], items: false, minItems: 1 },
    ['[1]', '[1, "a"]'],
    ['[]', '["a"]', '[1,"a",2]', '[1,]'],
  ],
  [
    'tuples with a tail',
    { prefixItems: [{ type: 'integer' }], items: { type: 'string' }, minItems: 2, maxItems: 3 },
    ['[1,"a"]', '[1,"a","b"]'],
    ['[1]', '[1,"a","b","c"]', '["a","b"]'],
  ],
  [
    'lists of at least',
    { items: { type: 'null' }, minItems: 2 },
    ['[null,null]', '[null,null,null]'],
    ['[]', '[null]'],
  ],
  ['empty lists', { type: 'array', items: false }, ['[]', '[ ]'], ['[1]']],
  ['alternatives', { anyOf: [{ type: 'integer' }, { type: 'string' }] }, ['1', '"x"'], ['true', '1.5']],
  ['several types', { type: ['number', 'null'] }, ['1.5', 'null'], ['"1"']],
  [
    'recursion',
    {
      $ref: '#/$defs/tree',
      $defs: { tree: { properties: { kids: { type: 'array', items: { $ref: '#/$defs/tree' } } } } },
    },
    ['{}', '{"kids":[{"kids":[]},{}]}'],
    ['{"kids":{}}', '[]'],
  ],
  ['free objects', { type: 'object' }, ['{}', '{"a":{"b":[1]}}'], ['[]', '{"a"}', '{} ']],
];

test.each(cases)('%s', (_, schema, good, bad) => {
  const grammar = grammarOf(schema);
  const wrong = [...good.filter((text) => !accepts(grammar, text)), ...bad.filter((text) => accepts(grammar, text))];
  expect(wrong).toEqual([]);
});

test('whatever is written under a mask is JSON of the schema', () => {
  const grammar = grammarOf(person);
  for (let seed = 0; seed < 40; seed++) {
    const random = randomGenerator(seed);
    using text = grammar.begin();
    const bytes: number[] = [];
    // Most of the time the end, or what closes something, so that texts stay short.
    for (;;) {
      const mask = text.allowed();
      const allowed = vocabulary.tokens.flatMap((__, token) =>
        ((mask[token >> 5] ?? 0) >>> (token & 31)) & 1 ? [token] : [],
      );
      if (allowed.includes(endToken)) break;
      const closing = allowed.filter((token) => '}]",'.includes(String.fromCharCode(token)));
      const from = closing.length > 0 && random() < 0.7 ? closing : allowed;
      const token = from[Math.floor(random() * from.length)] ?? -1;
      expect(text.accept(token)).toBe(true);
      bytes.push(token);
    }
    const value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes))) as {
      name: string;
      age?: number;
      tags: unknown[];
    };
    expect(Array.from(value.name).length).toBeGreaterThanOrEqual(1);
    expect(Array.from(value.name).length).toBeLessThanOrEqual(5);
    expect(value.age === undefined || Number.isInteger(value.age)).toBe(true);
    expect(value.tags.length === 1 || value.tags.length === 2).toBe(true);
    expect(value.tags.every((tag) => ['a', 'b\n"', 3, null].includes(tag as string))).toBe(true);
  }
});

test('what a grammar cannot promise is refused, with its place', () => {
  const refused: [JsonSchema, string][] = [
    [{ type: 'string', pattern: '^a' }, '/pattern'],
    [{ properties: { n: { type: 'number', minimum: 3 } } }, '/properties/n/minimum'],
    [{ type: 'strnig' }, '/type'],
    [{ $ref: 'http://example.com' }, '/$ref'],
    [{ $ref: '#/$defs/none' }, '/$ref'],
    [{ enum: [] }, '/enum'],
    [{ type: 'array', minItems: 3, maxItems: 2 }, ''],
    [{ type: 'string', minLength: -1 }, '/minLength'],
    [{ properties: { a: true }, required: ['b'] }, '/required'],
    [{ properties: { a: false } }, '/properties/a'],
  ];
  for (const [schema, pointer] of refused) {
    let caught: unknown;
    try {
      jsonSchemaGrammar(schema);
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(UnsupportedSchemaError);
    expect((caught as UnsupportedSchemaError).pointer).toBe(pointer);
  }
});
