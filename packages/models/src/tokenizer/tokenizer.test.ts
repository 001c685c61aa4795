import { expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { demoModel, sharedData } from '../../../../tools/test/shared-data.mjs';
import { TokenizerError } from '../errors.ts';
import { readGgufHeader } from '../formats/gguf/header.ts';
import { tokenizerJsonFromGguf } from '../formats/gguf/tokenizer.ts';
import { openCheckpoint } from '../open-checkpoint.ts';
import { readJsonObject } from '../read-file.ts';
import { withConfiguredTokens } from './configured-tokens.ts';
import { HuggingFaceTokenizer } from './hugging-face-tokenizer.ts';
import { parseTokenizerJson, type TokenizerJson } from './tokenizer-json.ts';
import type { Tokenizer } from './tokenizer.ts';

interface Vector {
  readonly text: string;
  readonly ids: readonly number[];
  readonly decoded?: string;
}

const plain = { addSpecialTokens: false };
const all = { skipSpecialTokens: false };

function load(path: string): Tokenizer {
  return new HuggingFaceTokenizer(path, parseTokenizerJson(path, readJsonObject(path)));
}

function loadGguf(path: string): Tokenizer {
  const json = tokenizerJsonFromGguf(readGgufHeader(path).metadata);
  if (!json) throw new Error('no tokenizer');
  return new HuggingFaceTokenizer(path, json);
}

/** A stream gives whole characters only, and together the same as the whole. */
function expectStream(tokenizer: Tokenizer, ids: readonly number[], options: { skipSpecialTokens: boolean }): void {
  const decoder = tokenizer.streamingDecoder(options);
  const parts = [...ids.map((id) => decoder.push(id)), decoder.flush()];
  expect(parts.join('')).toBe(tokenizer.decode(ids, options));
  for (const part of parts) expect(part).not.toMatch(/\p{Cs}/u);
}

const smollm = sharedData('smollm2-135m-instruct');

(smollm ? test : test.skip).each(['tokenizer.json', 'SmolLM2-135M-Instruct.Q4_1.gguf'])('SmolLM2 by %s', (file) => {
  const path = join(smollm as string, file);
  const tokenizer = file.endsWith('.json') ? load(path) : loadGguf(path);
  const { vectors } = JSON.parse(readFileSync(join(smollm as string, 'tokenizer-vectors.json'), 'utf8')) as {
    readonly vectors: readonly Vector[];
  };
  expect(vectors).toHaveLength(33);
  for (const { text, ids, decoded } of vectors) {
    expect(tokenizer.encode(text, plain)).toEqual(ids);
    expect(tokenizer.decode(ids, all)).toBe(decoded ?? text);
    expectStream(tokenizer, ids, all);
  }
  expect(tokenizer.vocabularySize).toBe(49152);
});

(sharedData('stories-llama-5m') && sharedData('stories-neox-5m') ? test : test.skip).each([
  'stories-llama-5m',
  'stories-neox-5m',
])('%s', async (name) => {
  const folder = sharedData(name) as string;
  using checkpoint = await openCheckpoint(folder);
  const tokenizer = await checkpoint.tokenizer();
  const { tokenizer_vectors: vectors } = JSON.parse(readFileSync(join(folder, 'reference.json'), 'utf8')) as {
    readonly tokenizer_vectors: readonly Vector[];
  };
  expect(vectors).toHaveLength(25);
  for (const { text, ids, decoded } of vectors) {
    expect(tokenizer.encode(text)).toEqual(ids);
    expect(tokenizer.decode(ids)).toBe(decoded);
    expectStream(tokenizer, ids, { skipSpecialTokens: true });
  }
});

const vocabularies = sharedData('tokenizers');

/** The 47 cases of a vocabulary, with the ids that llama.cpp recorded. */
function cases(name: string): Vector[] {
  const base = join(vocabularies as string, `llama.cpp-vocab/ggml-vocab-${name}.gguf`);
  const texts = readFileSync(`${base}.inp`, 'utf8').split('\n__ggml_vocab_test__\n').slice(0, 47);
  const lines = readFileSync(`${base}.out`, 'utf8').split('\n');
  return texts.map((text, i) => ({ text, ids: (lines[i] ?? '').trim().split(/ +/u).filter(Boolean).map(Number) }));
}

(vocabularies ? test : test.skip).each([
  ['gpt-2', 'gpt-2'],
  ['mpt', 'mpt'],
  ['gpt-neox', 'mpt'],
  ['llama-spm', 'llama-spm'],
  ['llama-spm', 'phi-3'],
  ['20B_tokenizer.json', 'mpt'],
])('vocabulary %s, cases of %s', (name, vectors) => {
  const json = name.endsWith('.json');
  const path = join(vocabularies as string, json ? name : `llama.cpp-vocab/ggml-vocab-${name}.gguf`);
  const tokenizer = json ? load(path) : loadGguf(path);
  const known = cases(vectors);
  expect(known).toHaveLength(47);
  for (const { text, ids } of known) {
    expect(tokenizer.encode(text, plain)).toEqual(ids);
    expectStream(tokenizer, ids, all);
  }
});

test('half a character waits for its other half, and bytes that are no character become U+FFFD', async () => {
  using checkpoint = await openCheckpoint(demoModel());
  const tokenizer = await checkpoint.tokenizer();
  const byte = (value: number): number =>
    tokenizer.tokenToId(`<0x${value.toString(16).toUpperCase().padStart(2, '0')}>`) as number;
  const decoder = tokenizer.streamingDecoder();
  expect([0xf0, 0x9f, 0x99].map((value) => decoder.push(byte(value))).join('')).toBe('');
  expect(decoder.push(byte(0x82))).toBe('🙂');
  expect(decoder.push(byte(0xe2))).toBe('');
  expect(decoder.flush()).toBe('\ufffd');
  const [word] = tokenizer.encode('dog', plain);
  const broken = tokenizer.streamingDecoder();
  expect(broken.push(word as number)).toBe('dog');
  expect(broken.push(byte(0xc3))).toBe('');
  expect(broken.push(word as number)).toBe('\ufffd dog');
  expect(broken.push(tokenizer.tokenToId('</s>') as number)).toBe('');
  expect(tokenizer.decode([1, word as number, 2], all)).toBe('<s> dog</s>');
  expect(tokenizer.decode([])).toBe('');
  expect(tokenizer.decode([999_999])).toBe('');
});

const small: TokenizerJson = {
  added_tokens: [
    { id: 2, content: '<s>', special: true, single_word: false, lstrip: false, rstrip: false, normalized: false },
  ],
  normalizer: null,
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
  post_processor: null,
  decoder: { type: 'ByteLevel' },
  model: { type: 'BPE', vocab: { a: 0, b: 1, '<s>': 2, ab: 3 }, merges: [['a', 'b']] },
};

test('add_bos_token of the configuration counts for the classes that heed it', () => {
  const encode = (config: Record<string, unknown>): number[] =>
    new HuggingFaceTokenizer('x', withConfiguredTokens(small, config)).encode('ab');
  expect(encode({})).toEqual([3]);
  expect(encode({ tokenizer_class: 'LlamaTokenizer', add_bos_token: true, bos_token: '<s>' })).toEqual([2, 3]);
  expect(encode({ tokenizer_class: 'LlamaTokenizerFast', add_bos_token: true, bos_token: { content: '<s>' } })).toEqual(
    [2, 3],
  );
  expect(encode({ tokenizer_class: 'PreTrainedTokenizerFast', add_bos_token: true, bos_token: '<s>' })).toEqual([3]);
  expect(encode({ tokenizer_class: 'GPT2Tokenizer', add_eos_token: true, eos_token: '<s>' })).toEqual([3, 2]);
});

test.each([
  [{}, 'no model'],
  [{ model: { type: 'BPE' } }, 'cannot be built'],
  [{ model: { type: 'Nothing' } }, 'cannot be built'],
  [{ model: { type: 'BPE', vocab: {}, merges: [] }, decoder: { type: 'Nothing' } }, 'cannot be built'],
  [{ model: { type: 'BPE', vocab: {}, merges: [] }, pre_tokenizer: 'ByteLevel' }, 'pre_tokenizer'],
  [{ model: { type: 'BPE', vocab: {}, merges: [] }, added_tokens: [{ id: 'one' }] }, 'added_tokens'],
])('refuses the tokenizer %j', (json: Record<string, unknown>, reason) => {
  const build = (): Tokenizer => new HuggingFaceTokenizer('tokenizer.json', parseTokenizerJson('tokenizer.json', json));
  expect(build).toThrow(TokenizerError);
  expect(build).toThrow(reason);
});
