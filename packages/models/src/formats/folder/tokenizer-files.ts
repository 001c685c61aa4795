import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { defaultTemplate } from '../../chat-template.ts';
import { TokenizerError } from '../../errors.ts';
import type { TokenizerSource } from '../../loaded-checkpoint.ts';
import { FileReader, readJsonObject } from '../../read-file.ts';
import { gpt2TokenizerJson } from './gpt2-tokenizer.ts';
import { readSentencePieceModel } from '../sentencepiece/model.ts';
import { tokenizerJsonFromSentencePiece } from '../sentencepiece/tokenizer.ts';
import { withConfiguredTokens } from '../../tokenizer/configured-tokens.ts';
import { parseTokenizerJson, type TokenizerJson } from '../../tokenizer/tokenizer-json.ts';

/**
 * What makes the tokenizer of a folder: tokenizer.json, or SentencePiece's tokenizer.model, or GPT-2's vocab.json and merges.txt.
 * Throws `TokenizerError` where there is none of them.
 */
export function tokenizerOfFolder(path: string, names: ReadonlySet<string>): TokenizerSource {
  const config = names.has('tokenizer_config.json') ? readJsonObject(join(path, 'tokenizer_config.json')) : {};
  const found = names.has('tokenizer.json')
    ? { name: 'tokenizer.json', read: (file: string) => parseTokenizerJson(file, readJsonObject(file)) }
    : names.has('tokenizer.model')
      ? { name: 'tokenizer.model', read: readSentencePieceTokenizer }
      : names.has('vocab.json') && names.has('merges.txt')
        ? { name: 'vocab.json', read: () => gpt2TokenizerJson(path, config) }
        : undefined;
  if (!found) throw new TokenizerError(path, 'the folder has no tokenizer.json, tokenizer.model or vocab.json');
  const file = join(path, found.name);
  return { file, json: withConfiguredTokens(found.read(file), config), config };
}

function readSentencePieceTokenizer(path: string): TokenizerJson {
  using file = new FileReader(path);
  return tokenizerJsonFromSentencePiece(readSentencePieceModel(path, file.read(0, file.size)));
}

/** The chat template of a folder with the tokens that it may name; undefined where there is none. */
export function chatTemplateOfFolder(
  path: string,
  names: ReadonlySet<string>,
): { readonly source: string; readonly tokens: Readonly<Record<string, string>> } | undefined {
  const read = (name: string): Record<string, unknown> => (names.has(name) ? readJsonObject(join(path, name)) : {});
  const config = read('tokenizer_config.json');
  const source = names.has('chat_template.jinja')
    ? readFileSync(join(path, 'chat_template.jinja'), 'utf8')
    : defaultTemplate(read('chat_template.json')['chat_template'] ?? config['chat_template']);
  if (source === undefined) return undefined;
  return { source, tokens: namedTokens({ ...read('special_tokens_map.json'), ...config }) };
}

/** `bos_token` and its like, which are texts or objects with a text in them. */
function namedTokens(config: Readonly<Record<string, unknown>>): Record<string, string> {
  const tokens: Record<string, string> = {};
  for (const [key, value] of Object.entries(config)) {
    if (!key.endsWith('_token')) continue;
    const text = typeof value === 'object' && value !== null ? (value as { content?: unknown }).content : value;
    if (typeof text === 'string') tokens[key] = text;
  }
  return tokens;
}
