import * as library from '@huggingface/tokenizers';

import type { TokenizerJson } from './tokenizer-json.ts';

/** What is used of Hugging Face's JavaScript tokenizers. Its own declarations do not resolve under Node's rules. */
export interface LibraryTokenizer {
  encode(text: string, options: { readonly add_special_tokens: boolean }): { readonly ids: number[] };
  decode(
    ids: readonly number[],
    options: { readonly skip_special_tokens: boolean; readonly clean_up_tokenization_spaces: boolean },
  ): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_vocab(withAddedTokens: boolean): ReadonlyMap<string, number>;
  readonly model: {
    readonly tokens_to_ids: ReadonlyMap<string, number>;
    /** Of byte-pair models: the tokens of a word. */
    bpe?(word: string): readonly string[];
  };
}

type Constructor = new (json: TokenizerJson, config: Readonly<Record<string, unknown>>) => LibraryTokenizer;

export const LibraryTokenizer: Constructor = (library as unknown as { readonly Tokenizer: Constructor }).Tokenizer;
