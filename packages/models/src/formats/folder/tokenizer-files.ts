import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { defaultTemplate } from '../../chat-template.ts';
import { TokenizerError } from '../../errors.ts';
import { readJsonObject } from '../../read-file.ts';
import { HuggingFaceTokenizer } from '../../tokenizer/hugging-face-tokenizer.ts';
import { withConfiguredTokens } from '../../tokenizer/configured-tokens.ts';
import { parseTokenizerJson } from '../../tokenizer/tokenizer-json.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';

/** The tokenizer of a folder. Throws `TokenizerError`. */
export function tokenizerOfFolder(path: string, names: ReadonlySet<string>): Promise<Tokenizer> {
  return Promise.resolve().then(() => {
    if (!names.has('tokenizer.json')) throw new TokenizerError(path, 'the folder has no tokenizer.json');
    const file = join(path, 'tokenizer.json');
    const json = parseTokenizerJson(file, readJsonObject(file));
    const config = names.has('tokenizer_config.json') ? readJsonObject(join(path, 'tokenizer_config.json')) : {};
    const tokenizer = withConfiguredTokens(json, config);
    return new HuggingFaceTokenizer(file, tokenizer, config);
  });
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
