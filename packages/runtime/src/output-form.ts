import type { Tokenizer, TokenizerError } from '@llm/models';
import { Grammar, InvalidOptionError, jsonSchemaGrammar, type GrammarVocabulary } from '@llm/tensor';

import type { GenerateOptions } from './options.ts';
import { tokenizerOf } from './prompt.ts';

/** Grammars that are kept, with the masks they have computed, for the next answers of the same form. */
const kept = 16;

/** The forms that answers of one model were asked to have. */
export class OutputForms {
  readonly #path: string;
  readonly #tokenizer: Tokenizer | TokenizerError;
  readonly #vocabularySize: number;
  readonly #grammars = new Map<string, Grammar>();
  #tokens: GrammarVocabulary['tokens'] | undefined;

  /** @param vocabularySize - of the model: rows of logits may be longer than the tokenizer's vocabulary */
  constructor(path: string, tokenizer: Tokenizer | TokenizerError, vocabularySize: number) {
    this.#path = path;
    this.#tokenizer = tokenizer;
    this.#vocabularySize = vocabularySize;
  }

  /**
   * The grammar that `grammar` or `jsonSchema` asks for, over the model's tokens.
   * @throws {@link InvalidGrammarError}, {@link UnsupportedSchemaError}, {@link TokenizerError}
   */
  grammarOf({ grammar, jsonSchema }: GenerateOptions, endTokens: readonly number[]): Grammar | undefined {
    if (grammar === undefined && jsonSchema === undefined) return undefined;
    const source = jsonSchema === undefined ? (grammar ?? '') : jsonSchemaGrammar(jsonSchema);
    const key = `${endTokens.join()} ${source}`;
    const made = this.#grammars.get(key) ?? new Grammar(source, { tokens: this.#vocabulary(), endTokens });
    // The last used stay.
    this.#grammars.delete(key);
    this.#grammars.set(key, made);
    const [oldest] = this.#grammars.keys();
    if (this.#grammars.size > kept && oldest !== undefined) this.#grammars.delete(oldest);
    return made;
  }

  #vocabulary(): GrammarVocabulary['tokens'] {
    if (this.#tokens) return this.#tokens;
    const tokenizer = tokenizerOf({ path: this.#path, tokenizer: this.#tokenizer, chatTemplate: undefined });
    const tokens = Array.from({ length: this.#vocabularySize }, (_, id) => tokenizer.tokenBytes(id));
    if (tokens.every((token) => token === undefined))
      throw new InvalidOptionError('grammar', this.#path, ['models whose tokenizer has tokens of bytes']);
    this.#tokens = tokens;
    return tokens;
  }
}
