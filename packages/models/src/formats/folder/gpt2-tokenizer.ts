import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { readJsonObject } from '../../read-file.ts';
import type { AddedTokenJson, TokenizerJson } from '../../tokenizer/tokenizer-json.ts';

/** The tokenizer.json that says the same as vocab.json and merges.txt, as GPT-2 and OPT have them. */
export function gpt2TokenizerJson(path: string, config: Readonly<Record<string, unknown>>): TokenizerJson {
  const vocab = readJsonObject(join(path, 'vocab.json'));
  const lines = readFileSync(join(path, 'merges.txt'), 'utf8').split('\n');
  const merges = lines.filter((line) => line.includes(' ') && !line.startsWith('#version'));
  const byteLevel = { type: 'ByteLevel', add_prefix_space: config['add_prefix_space'] === true, trim_offsets: true };
  return {
    version: '1.0',
    added_tokens: specialTokens(vocab, config),
    normalizer: null,
    pre_tokenizer: { ...byteLevel, use_regex: true },
    post_processor: null,
    decoder: byteLevel,
    model: { type: 'BPE', unk_token: null, fuse_unk: false, byte_fallback: false, vocab, merges },
  };
}

/** The tokens that the configuration names, where the vocabulary has them; GPT-2's own where it names none. */
function specialTokens(
  vocab: Readonly<Record<string, unknown>>,
  config: Readonly<Record<string, unknown>>,
): AddedTokenJson[] {
  const named = ['bos_token', 'eos_token', 'unk_token', 'pad_token'].map((key) => {
    const value = config[key];
    return typeof value === 'object' && value !== null ? (value as { content?: unknown }).content : value;
  });
  const contents = new Set(['<|endoftext|>', ...named.filter((name) => typeof name === 'string')]);
  return [...contents].flatMap((content) => {
    const id = Object.hasOwn(vocab, content) ? vocab[content] : undefined;
    if (typeof id !== 'number') return [];
    return [{ id, content, special: true, single_word: false, lstrip: false, rstrip: false, normalized: false }];
  });
}
