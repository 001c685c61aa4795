import { expect, test } from '@jest/globals';
import { LlmError } from '@llm/tensor';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { mutate, random } from '../../../../../tools/fuzz/mutate.mjs';
import { sharedData } from '../../../../../tools/test/shared-data.mjs';
import { CorruptFileError, UnsupportedFormatError } from '../../errors.ts';
import { HuggingFaceTokenizer } from '../../tokenizer/hugging-face-tokenizer.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { readGgufHeader } from '../gguf/header.ts';
import { readSentencePieceModel } from './model.ts';
import { tokenizerJsonFromSentencePiece } from './tokenizer.ts';

/** A message in protocol buffers' wire format. */
function message(
  ...fields: (readonly [number: number, value: number | string | Buffer | { readonly float: number }])[]
): Buffer {
  return Buffer.concat(
    fields.map(([number, value]) => {
      if (typeof value === 'number') return Buffer.concat([varint(number * 8), varint(value)]);
      if (typeof value === 'object' && !Buffer.isBuffer(value)) {
        const bytes = Buffer.alloc(4);
        bytes.writeFloatLE(value.float);
        return Buffer.concat([varint(number * 8 + 5), bytes]);
      }
      const bytes = Buffer.from(value);
      return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
    }),
  );
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest & 127) | 128);
  return Buffer.from([...bytes, rest]);
}

const piece = (text: string, score: number, kind = 1): readonly [1, Buffer] => [
  1,
  message([1, text], [2, { float: score }], [3, kind]),
];
const start = [piece('<unk>', 0, 2), piece('<s>', 0, 3), piece('</s>', 0, 3)];

function build(bytes: Buffer): Tokenizer {
  return new HuggingFaceTokenizer('x', tokenizerJsonFromSentencePiece(readSentencePieceModel('x', bytes)));
}

test('a unigram model takes the likeliest way to cut a text', () => {
  const model = message(...start, piece('▁ab', -3), piece('▁a', -1), piece('b', -1), piece('c', -1), piece('▁', -4), [
    2,
    message([3, 1]),
  ]);
  const tokenizer = build(model);
  // "▁a" + "b" scores -2, "▁ab" -3.
  expect(tokenizer.encode('ab')).toEqual([1, 4, 5]);
  expect(tokenizer.encode('  ab   c ', { addSpecialTokens: false })).toEqual([4, 5, 7, 6]);
  expect(tokenizer.decode([1, 4, 5, 7, 6])).toBe('ab c');
});

test('a byte-pair model merges the best pair first, and falls back to bytes', () => {
  const bytes = Array.from({ length: 256 }, (_, i) =>
    piece(`<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`, 0, 6),
  );
  const model = message(
    ...start,
    ...bytes,
    piece('ab', -2),
    piece('bc', -1),
    piece('a', -9),
    piece('b', -9),
    piece('c', -9),
    piece('▁', -9),
    [2, message([3, 2], [35, 1])],
  );
  const tokenizer = build(model);
  const id = (token: string): number | undefined => tokenizer.tokenToId(token);
  expect(tokenizer.encode('abc')).toEqual([1, id('▁'), id('a'), id('bc')]);
  expect(tokenizer.encode('é')).toEqual([1, id('▁'), id('<0xC3>'), id('<0xA9>')]);
  expect(tokenizer.decode(tokenizer.encode('a éb'))).toBe('a éb');
});

test.each([
  ['nothing', Buffer.alloc(0), 'no pieces'],
  ['text', Buffer.from('not a model'), 'no SentencePiece model'],
  ['a field that is cut off', message(...start).subarray(0, 20), 'in the middle'],
  ['a number without an end', Buffer.alloc(20, 0xff), 'without an end'],
  ['a piece without text', message([1, message([2, { float: 1 }])]), 'piece 0'],
  ['a piece of an unknown kind', message([1, message([1, 'a'], [3, 9])]), 'piece 0'],
])('refuses %s', (_name, bytes, reason) => {
  expect(() => readSentencePieceModel('x', bytes)).toThrow(CorruptFileError);
  expect(() => readSentencePieceModel('x', bytes)).toThrow(reason);
});

test('a model of words is said not to be read', () => {
  expect(() => readSentencePieceModel('x', message(...start, [2, message([3, 3])]))).toThrow(UnsupportedFormatError);
});

test('any damage is an error of ours or a model', () => {
  const sound = message(...start, piece('▁ab', -3), piece('b', -1), [2, message([3, 1])]);
  const next = random(5);
  for (let round = 0; round < 500; round++) {
    try {
      readSentencePieceModel('x', mutate(sound, next));
    } catch (error) {
      if (!LlmError.isInstance(error)) throw error;
    }
  }
});

const llama = sharedData('llama2-tokenizer', 'tokenizer.model');
const vocabulary = sharedData('tokenizers', 'llama.cpp-vocab');

(llama && vocabulary ? test : test.skip)(
  "Llama's own tokenizer.model: the pieces of the GGUF vocabulary and its 47 cases",
  () => {
    const model = readSentencePieceModel('tokenizer.model', readFileSync(llama as string));
    const base = join(vocabulary as string, 'ggml-vocab-llama-spm.gguf');
    const { metadata } = readGgufHeader(base);
    expect(model.kind).toBe('bpe');
    expect(model.pieces.map(({ text }) => text)).toEqual(metadata.strings('tokenizer.ggml.tokens'));
    const tokenizer = new HuggingFaceTokenizer('x', tokenizerJsonFromSentencePiece(model));
    const texts = readFileSync(`${base}.inp`, 'utf8').split('\n__ggml_vocab_test__\n').slice(0, 47);
    const lines = readFileSync(`${base}.out`, 'utf8').split('\n');
    texts.forEach((text, i) => {
      const ids = (lines[i] ?? '').trim().split(/ +/u).filter(Boolean).map(Number);
      expect(tokenizer.encode(text, { addSpecialTokens: false })).toEqual(ids);
      expect(tokenizer.encode(text)).toEqual([1, ...ids]);
    });
  },
);
