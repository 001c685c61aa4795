import { CorruptFileError, UnsupportedFormatError } from '../../errors.ts';
import {
  surround,
  type AddedTokenJson,
  type ComponentJson,
  type TokenizerJson,
} from '../../tokenizer/tokenizer-json.ts';
import { sentencePieceComponents, type Piece } from '../../tokenizer/sentencepiece-bpe.ts';
import type { GgufMetadata } from './metadata.ts';
import { ignoresMerges, preTokenizer, preTokenizerNames } from './pre-tokenizers.ts';

/** Kinds of tokens in `tokenizer.ggml.token_type`. */
const kinds = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** The tokenizer.json that says the same as the vocabulary of a GGUF file; undefined where the file has none. */
export function tokenizerJsonFromGguf(metadata: GgufMetadata): TokenizerJson | undefined {
  const kind = metadata.string('tokenizer.ggml.model');
  const tokens = metadata.strings('tokenizer.ggml.tokens');
  if (kind === undefined || tokens === undefined) return undefined;
  const types = metadata.numbers('tokenizer.ggml.token_type') ?? new Int32Array(tokens.length).fill(kinds.normal);
  if (types.length !== tokens.length) {
    throw new CorruptFileError(metadata.path, 0, `${types.length} token types for ${tokens.length} tokens`);
  }
  const added_tokens = tokens.flatMap((content, id) => addedToken(content, id, types[id] as number));
  if (kind === 'gpt2') return { version: '1.0', added_tokens, ...byteLevelBpe(metadata, tokens) };
  if (kind === 'llama') return { version: '1.0', added_tokens, ...sentencePiece(metadata, tokens, types) };
  throw new UnsupportedFormatError(metadata.path, `its tokenizer is of kind ${kind}; known are gpt2 and llama`);
}

function addedToken(content: string, id: number, kind: number): AddedTokenJson[] {
  if (kind !== kinds.control && kind !== kinds.userDefined && kind !== kinds.unknown) return [];
  if (content === '') return [];
  const special = kind !== kinds.userDefined;
  return [{ id, content, special, single_word: false, lstrip: false, rstrip: false, normalized: false }];
}

type Components = Omit<TokenizerJson, 'version' | 'added_tokens'>;

function byteLevelBpe(metadata: GgufMetadata, tokens: readonly string[]): Components {
  const merges = metadata.strings('tokenizer.ggml.merges');
  if (!merges) throw new CorruptFileError(metadata.path, 0, 'a vocabulary of byte pairs without tokenizer.ggml.merges');
  // Files from before the key existed hold GPT-2's own vocabulary or its descendants'.
  const name = metadata.string('tokenizer.ggml.pre') ?? 'gpt-2';
  const pre_tokenizer = preTokenizer(name);
  if (!pre_tokenizer) {
    throw new UnsupportedFormatError(
      metadata.path,
      `its text is split in the manner of ${name}; known are ${preTokenizerNames.join(', ')}`,
    );
  }
  return {
    normalizer: null,
    pre_tokenizer,
    post_processor: postProcessor(metadata, tokens, ignoresMerges.has(name)),
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: ignoresMerges.has(name),
      vocab: vocabulary(tokens),
      merges: merges.map((merge) => splitMerge(metadata.path, merge)),
    },
  };
}

function splitMerge(path: string, merge: string): [string, string] {
  // The first character may itself be a space in vocabularies that are not byte-level.
  const space = merge.indexOf(' ', 1);
  if (space < 0) throw new CorruptFileError(path, 0, `the merge ${JSON.stringify(merge)} is not two tokens`);
  return [merge.slice(0, space), merge.slice(space + 1)];
}

function sentencePiece(metadata: GgufMetadata, tokens: readonly string[], types: ArrayLike<number>): Components {
  const scores = metadata.numbers('tokenizer.ggml.scores');
  if (scores?.length !== tokens.length) {
    throw new CorruptFileError(metadata.path, 0, `${scores?.length ?? 0} token scores for ${tokens.length} tokens`);
  }
  const pieces = tokens.map((text, id): Piece => {
    const mergeable = types[id] === kinds.normal || types[id] === kinds.userDefined;
    return { text, score: scores[id] as number, mergeable };
  });
  const unknown = metadata.integer('tokenizer.ggml.unknown_token_id') ?? 0;
  return {
    ...sentencePieceComponents(pieces, {
      unknownToken: tokens[unknown] ?? null,
      addSpacePrefix: metadata.boolean('tokenizer.ggml.add_space_prefix') ?? true,
    }),
    post_processor: postProcessor(metadata, tokens, true),
  };
}

function postProcessor(metadata: GgufMetadata, tokens: readonly string[], addsBos: boolean): ComponentJson | null {
  const token = (name: string): { content: string; id: number }[] => {
    const id = metadata.integer(`tokenizer.ggml.${name}_token_id`);
    const content = id === undefined ? undefined : tokens[id];
    return id === undefined || content === undefined ? [] : [{ content, id }];
  };
  const before = (metadata.boolean('tokenizer.ggml.add_bos_token') ?? addsBos) ? token('bos') : [];
  const after = (metadata.boolean('tokenizer.ggml.add_eos_token') ?? false) ? token('eos') : [];
  return before.length + after.length === 0 ? null : surround(before, after);
}

/** From text to id; of two tokens with the same text the first one counts. */
function vocabulary(tokens: readonly string[]): Record<string, number> {
  const ids = new Map<string, number>();
  tokens.forEach((token, id) => {
    if (!ids.has(token)) ids.set(token, id);
  });
  return Object.fromEntries(ids);
}
