import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { LlmError } from '../errors.ts';
import { sampleToken } from '../sampling.ts';
import { randomGenerator } from '../testing/random-matrix.ts';
import { Grammar, InvalidGrammarError, type GrammarText } from './grammar.ts';

const encoder = new TextEncoder();

function vocabularyOf(texts: readonly string[]) {
  const tokens = [...texts.map((text) => encoder.encode(text)), undefined];
  return { tokens, endTokens: [texts.length] };
}

function allowedTokens(text: GrammarText): number[] {
  return [...text.allowed()].flatMap((word, at) =>
    Array.from({ length: 32 }, (_, bit) => 32 * at + bit).filter((token) => (word >>> (token & 31)) & 1),
  );
}

/** Every token, and the end, whose text some member of the language goes on with. */
function bruteForce(language: readonly string[], written: string, texts: readonly string[]): number[] {
  const going = language.filter((text) => text.startsWith(written));
  const fits = [...texts.keys()].filter((i) => going.some((text) => text.startsWith(written + (texts[i] ?? ''))));
  return going.includes(written) ? [...fits, texts.length] : fits;
}

interface Term {
  readonly source: string;
  readonly language: readonly string[];
}

const letters = ['a', 'b', 'é'];
const limit = 400; // texts of a language

const product = (a: readonly string[], b: readonly string[]) => a.flatMap((x) => b.map((y) => x + y));
const distinct = (texts: readonly string[]) => [...new Set(texts)].slice(0, limit + 1);

const terms = fc.letrec<{ term: Term }>((tie) => {
  const literal = fc
    .string({ unit: fc.constantFrom(...letters), maxLength: 3 })
    .map((text): Term => ({ source: `"${text}"`, language: [text] }));
  const set = fc
    .subarray(letters, { minLength: 1 })
    .map((chosen): Term => ({ source: `[${chosen.join('')}]`, language: chosen }));
  const pair = fc.tuple(tie('term'), tie('term'));
  return {
    term: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      literal,
      set,
      pair.map(([a, b]) => ({
        source: `${a.source} ${b.source}`,
        language: distinct(product(a.language, b.language)),
      })),
      pair.map(([a, b]) => ({
        source: `(${a.source} | ${b.source})`,
        language: distinct([...a.language, ...b.language]),
      })),
      tie('term').map((a) => ({ source: `(${a.source})?`, language: distinct(['', ...a.language]) })),
      fc.tuple(tie('term'), fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 2 })).map(([a, least, more]) => {
        const powers = [['']];
        for (let i = 0; i < least + more; i++) powers.push(distinct(product(powers[i] ?? [], a.language)));
        return {
          source: `(${a.source}){${String(least)},${String(least + more)}}`,
          language: distinct(powers.slice(least).flat()),
        };
      }),
    ),
  };
}).term;

const texts = ['a', 'b', 'é', 'ab', 'ba', 'aa', 'aé', 'éa', 'aba', 'bbb', 'éé', 'c', 'ac'];

test('masks are those of brute force, for random finite languages', () => {
  fc.assert(
    fc.property(terms, fc.infiniteStream(fc.nat()), ({ source, language }, choices) => {
      fc.pre(language.length <= limit);
      const grammar = new Grammar(`root ::= part\npart ::= ${source}`, vocabularyOf(texts));
      const text = grammar.begin();
      let written = '';
      for (let step = 0; step < 6; step++) {
        const wanted = bruteForce(language, written, texts);
        expect(allowedTokens(text)).toEqual(wanted);
        expect(text.canEnd).toBe(language.includes(written));
        const refused = [...texts.keys()].find((token) => !wanted.includes(token));
        if (refused !== undefined) expect(text.accept(refused)).toBe(false);
        const next = wanted[(choices.next().value ?? 0) % Math.max(1, wanted.length)];
        if (next === undefined) break;
        expect(text.accept(next)).toBe(true);
        if (next === texts.length) break;
        written += texts[next] ?? '';
      }
    }),
    { numRuns: 150 },
  );
});

test('nested brackets: a language that no finite automaton knows', () => {
  const brackets = ['(', ')', '((', '))', ')(', '()()', '(())', 'x'];
  const grammar = new Grammar('root ::= ("(" root ")")*', vocabularyOf(brackets));
  const depthOf = (text: string): number => {
    let depth = 0;
    for (const c of text) {
      depth += c === '(' ? 1 : c === ')' ? -1 : NaN;
      if (!(depth >= 0)) return NaN;
    }
    return depth;
  };
  const random = randomGenerator(1);
  for (let run = 0; run < 30; run++) {
    using text = grammar.begin();
    let written = '';
    for (let step = 0; step < 40; step++) {
      const wanted = [...brackets.keys()].filter((i) => depthOf(written + (brackets[i] ?? '')) >= 0);
      const ends = depthOf(written) === 0 ? [brackets.length] : [];
      expect(allowedTokens(text)).toEqual([...wanted, ...ends]);
      const next = wanted[Math.floor(random() * wanted.length)] ?? 0;
      expect(text.accept(next)).toBe(true);
      written += brackets[next] ?? '';
    }
  }
});

const bytes = { tokens: Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)), endTokens: [] };

function matches(grammar: Grammar, text: Uint8Array): boolean {
  using written = grammar.begin();
  return text.every((byte) => written.accept(byte)) && written.canEnd;
}

test('classes are of characters, not bytes', () => {
  const edges = [
    0, 0x41, 0x7f, 0x80, 0xe0, 0xfc, 0x7ff, 0x800, 0xfff, 0x1000, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x1f600,
  ];
  const characters = [...edges, 0x3ffff, 0x40000, 0x10ffff].flatMap((c) => [c - 1, c, c + 1]);
  const valid = characters.filter((c) => c >= 0 && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff));
  const classes: [string, (c: number) => boolean][] = [
    ['.', () => true],
    ['[^a-zA]', (c) => !((c >= 0x61 && c <= 0x7a) || c === 0x41)],
    ['[à-ü]', (c) => c >= 0xe0 && c <= 0xfc],
    ['[\\u07F0-\\U0001F5FF]', (c) => c >= 0x7f0 && c <= 0x1f5ff],
    ['[^\\x80-\\uFFFE]', (c) => c < 0x80 || c > 0xfffe],
    ['[]', () => false],
    ['[\\]\\-\\\\-]', (c) => [0x5d, 0x2d, 0x5c].includes(c)],
  ];
  for (const [source, wanted] of classes) {
    const grammar = new Grammar(`root ::= ${source}`, bytes);
    const wrong = valid.filter((c) => matches(grammar, encoder.encode(String.fromCodePoint(c))) !== wanted(c));
    expect([source, wrong]).toEqual([source, []]);
  }
  // Overlong forms, surrogates and what is beyond Unicode are no characters.
  const any = new Grammar('root ::= .*', bytes);
  for (const bad of [[0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0x80], [0xe2, 0x82]])
    expect(matches(any, Uint8Array.from(bad))).toBe(false);
});

test('texts fork, and several go on under one grammar', () => {
  const grammar = new Grammar('root ::= "a" ("b" | "c") "d"', vocabularyOf(['a', 'b', 'c', 'd']));
  const text = grammar.begin();
  expect(text.accept(0)).toBe(true);
  const other = text.fork();
  expect([text.accept(1), other.accept(2)]).toEqual([true, true]);
  expect([allowedTokens(text), allowedTokens(other)]).toEqual([[3], [3]]);
  text[Symbol.dispose]();
  expect(other.accept(3)).toBe(true);
  expect(allowedTokens(other)).toEqual([4]);
  expect([other.accept(4), other.accept(4), other.canEnd]).toEqual([true, false, true]);
  expect(() => text.accept(1)).toThrow(LlmError);
});

test('the sampler keeps to a mask', () => {
  const grammar = new Grammar(
    'root ::= [0-9]{3}',
    vocabularyOf(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', '12', '1a']),
  );
  for (let seed = 0; seed < 20; seed++) {
    using text = grammar.begin();
    let length = 0;
    for (let draw = 0; !text.canEnd; draw++) {
      const { token } = sampleToken(new Float32Array(16), { allowed: text.allowed(), seed, draw });
      expect(text.accept(token)).toBe(true);
      length += token === 13 ? 2 : 1;
    }
    expect(length).toBe(3);
  }
});

test('comments, line breaks and escapes', () => {
  const source = `# a list
root ::= item ("," item)* # more
item ::= "\\"x\\"" |
  ( "\\u00e9"
    [\\n\\t] )
  | "z"
`;
  const grammar = new Grammar(source, bytes);
  for (const good of ['"x"', 'z,z', 'é\n,"x"', 'é\t']) expect(matches(grammar, encoder.encode(good))).toBe(true);
  for (const bad of ['', 'x', 'z,', 'é', 'é ']) expect(matches(grammar, encoder.encode(bad))).toBe(false);
});

test('what is no grammar is refused, with its line', () => {
  const cases: [string, string, number | undefined][] = [
    ['', 'there is no rule root', undefined],
    ['root ::= "a', 'not closed', 1],
    ['root ::= "a"\nroot ::= "b"', 'defined twice', 2],
    ['root ::= thing', 'no rule thing', 1],
    ['root ::= ("a"', 'group is not closed', 1],
    ['root ::= [z-a]', 'wrong way round', 1],
    ['root ::= "a"{3,1}', 'more at least', 1],
    ['root ::= "\\q"', 'unknown escape', 1],
    ['root ::= "a" )', 'unexpected )', 1],
    ['root = "a"', '::= must follow', 1],
    ['root ::= root "a"', 'left recursion', 1],
    ['root ::= a\na ::= ("x")* b\nb ::= a "y"', 'left recursion', undefined],
    ['root ::= ' + '('.repeat(5000), 'nested too deeply', 1],
    ['root ::= (((("a"{9999}){9999}){9999}){9999})', 'too large', 1],
    ['root ::= "\\U00110000"', 'beyond Unicode', 1],
  ];
  for (const [source, reason, line] of cases) {
    const make = () => new Grammar(source, bytes);
    expect(make).toThrow(InvalidGrammarError);
    expect(make).toThrow(reason);
    if (line !== undefined) expect(make).toThrow(`line ${String(line)}`);
  }
});

test('a rule that may be empty in front of itself is still left recursion', () => {
  expect(() => new Grammar('root ::= "a"? root "b" | "c"', bytes)).toThrow('left recursion');
  expect(matches(new Grammar('root ::= "a" root "b" | "c"', bytes), encoder.encode('aacbb'))).toBe(true);
});

test('any text as a grammar: an error or a grammar, never worse', () => {
  const pieces = [
    'root',
    ' ::= ',
    '"',
    'a',
    '\\',
    'x',
    '4',
    '[',
    '^',
    ']',
    '(',
    ')',
    '*',
    '{2',
    '}',
    '|',
    '\n',
    '#',
    '.',
  ];
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 25 }), (parts) => {
      try {
        new Grammar(`root ::= ${parts.join('')}`, bytes).begin().allowed();
      } catch (error) {
        expect(error).toBeInstanceOf(InvalidGrammarError);
      }
    }),
    { numRuns: 300 },
  );
});
