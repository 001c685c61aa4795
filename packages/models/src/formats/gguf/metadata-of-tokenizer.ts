import { UnsupportedFormatError } from '../../errors.ts';
import type { TokenizerSource } from '../../loaded-checkpoint.ts';
import { HuggingFaceTokenizer } from '../../tokenizer/hugging-face-tokenizer.ts';
import { components, type TokenizerJson } from '../../tokenizer/tokenizer-json.ts';
import { preTokenizerName } from './pre-tokenizers.ts';
import type { GgufEntryValue } from './write.ts';

export interface TokenizerFacts {
  /** Rows of the embedding: the vocabulary is filled up to them. */
  readonly vocabularySize: number;
  readonly bosTokenId: number | undefined;
  readonly eosTokenIds: readonly number[];
  readonly chatTemplate: string | undefined;
}

/** Kinds of tokens in `tokenizer.ggml.token_type`. */
const kinds = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** A tokenizer as GGUF's metadata. Throws `UnsupportedFormatError` for one that GGUF has no words for. */
export function metadataOfTokenizer(source: TokenizerSource, facts: TokenizerFacts): Map<string, GgufEntryValue> {
  const { file, json } = source;
  if (json.model.type !== 'BPE') {
    throw new UnsupportedFormatError(file, `a tokenizer of type ${json.model.type} is not written to GGUF`);
  }
  const tokens = tokenTexts(json, facts.vocabularySize);
  const merges = mergeList(json);
  const byteLevel = components(json.pre_tokenizer, 'pretokenizers').some(({ type }) => type === 'ByteLevel');
  const entries: (readonly [string, GgufEntryValue])[] = [
    ['model', { type: 'string', value: byteLevel ? 'gpt2' : 'llama' }],
    ['tokens', { type: 'strings', value: tokens }],
    ['token_type', { type: 'i32s', value: tokenKinds(json, tokens, byteLevel) }],
  ];
  if (byteLevel) {
    const name = preTokenizerName(json.pre_tokenizer);
    if (name === undefined)
      throw new UnsupportedFormatError(file, 'GGUF has no name for how it splits text into words');
    entries.push(['pre', { type: 'string', value: name }]);
    entries.push(['merges', { type: 'strings', value: merges.map((pair) => pair.join(' ')) }]);
  } else {
    entries.push(['pre', { type: 'string', value: 'default' }]);
    entries.push(['scores', { type: 'f32s', value: scores(tokens, merges) }]);
    entries.push(['add_space_prefix', { type: 'bool', value: addsSpace(json) }]);
  }
  entries.push(...specialTokens(source, facts));
  return new Map(
    entries.map(([key, value]) => [
      key === 'chat_template' ? 'tokenizer.chat_template' : `tokenizer.ggml.${key}`,
      value,
    ]),
  );
}

function specialTokens(source: TokenizerSource, facts: TokenizerFacts): (readonly [string, GgufEntryValue])[] {
  const { json, config, file } = source;
  const tokenizer = new HuggingFaceTokenizer(file, json, config);
  const entries: (readonly [string, GgufEntryValue])[] = [];
  const id = (key: string, value: number | undefined): void => {
    if (value !== undefined) entries.push([`${key}_token_id`, { type: 'u32', value }]);
  };
  id('bos', facts.bosTokenId);
  id('eos', facts.eosTokenIds[0]);
  // Files have room for one more end: that of a turn.
  id('eot', facts.eosTokenIds[1]);
  const unknown = json.model['unk_token'];
  id('unknown', typeof unknown === 'string' ? tokenizer.tokenToId(unknown) : undefined);
  const empty = tokenizer.encode('');
  entries.push([
    'add_bos_token',
    { type: 'bool', value: facts.bosTokenId !== undefined && empty[0] === facts.bosTokenId },
  ]);
  entries.push([
    'add_eos_token',
    {
      type: 'bool',
      value: empty.length > 0 && facts.eosTokenIds.includes(empty.at(-1) ?? -1) && empty.at(-1) !== facts.bosTokenId,
    },
  ]);
  if (facts.chatTemplate !== undefined) entries.push(['chat_template', { type: 'string', value: facts.chatTemplate }]);
  return entries;
}

/** The texts of all ids; those that the tokenizer does not have are filled in. */
function tokenTexts(json: TokenizerJson, vocabularySize: number): string[] {
  const vocabulary = Object.entries(json.model['vocab'] as Record<string, number>);
  const known = new Map(vocabulary.map(([text, id]) => [id, text]));
  for (const { id, content } of json.added_tokens) known.set(id, content);
  let size = vocabularySize;
  for (const id of known.keys()) size = Math.max(size, id + 1);
  return Array.from({ length: size }, (_, id) => known.get(id) ?? `[PAD${id}]`);
}

function tokenKinds(json: TokenizerJson, tokens: readonly string[], byteLevel: boolean): Int32Array {
  const vocabulary = json.model['vocab'] as Record<string, number>;
  const result = Int32Array.from(tokens, (text, id) => {
    if (!byteLevel && /^<0x[0-9A-F]{2}>$/u.test(text)) return kinds.byte;
    return vocabulary[text] === id ? kinds.normal : kinds.unused;
  });
  for (const { id, special } of json.added_tokens) result[id] = special ? kinds.control : kinds.userDefined;
  const unknown = json.model['unk_token'];
  const unknownId = typeof unknown === 'string' ? vocabulary[unknown] : undefined;
  if (!byteLevel && unknownId !== undefined) result[unknownId] = kinds.unknown;
  return result;
}

function mergeList(json: TokenizerJson): [string, string][] {
  const merges = json.model['merges'] as readonly (string | [string, string])[];
  return merges.map((merge) => {
    if (typeof merge !== 'string') return merge;
    const space = merge.indexOf(' ', 1);
    return [merge.slice(0, space), merge.slice(space + 1)];
  });
}

/** SentencePiece merges by falling score: of each token, how early its first merge comes. */
function scores(tokens: readonly string[], merges: readonly [string, string][]): Float32Array {
  const ranks = new Map<string, number>();
  merges.forEach(([left, right], rank) => {
    if (!ranks.has(left + right)) ranks.set(left + right, rank);
  });
  return Float32Array.from(tokens, (token) => -(ranks.get(token) ?? merges.length));
}

function addsSpace(json: TokenizerJson): boolean {
  const prepends = components(json.normalizer, 'normalizers').some(({ type }) => type === 'Prepend');
  const metaspace = components(json.pre_tokenizer, 'pretokenizers').find(({ type }) => type === 'Metaspace');
  return prepends || (metaspace !== undefined && metaspace['prepend_scheme'] !== 'never');
}
