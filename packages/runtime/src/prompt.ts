import { ContextOverflowError, InvalidArgumentError } from '@llm/tensor';
import {
  TokenizerError,
  type ChatMessage,
  type ChatTemplate,
  type StreamingDecoder,
  type Tokenizer,
} from '@llm/models';

import { NoChatTemplateError } from './errors.ts';

/** A text to go on with, a conversation to answer, or token ids as they are. */
export type Prompt = string | readonly ChatMessage[] | readonly number[] | Int32Array;

/** What turns prompts into tokens. */
export interface Language {
  /** For error messages. */
  readonly path: string;
  /** Or why there is none. */
  readonly tokenizer: Tokenizer | TokenizerError;
  readonly chatTemplate: ChatTemplate | undefined;
}

export function isTokens(prompt: Prompt): prompt is readonly number[] | Int32Array {
  return typeof prompt !== 'string' && typeof prompt[0] !== 'object';
}

/** @throws {@link TokenizerError}, {@link NoChatTemplateError}, {@link InvalidArgumentError} for an empty prompt */
export function encodePrompt(prompt: Prompt, language: Language): readonly number[] | Int32Array {
  const ids = isTokens(prompt) ? prompt : encodeText(prompt, language);
  if (ids.length === 0) throw new InvalidArgumentError('The prompt is empty: there is nothing to go on with.');
  return ids;
}

function encodeText(prompt: string | readonly ChatMessage[], language: Language): number[] {
  const tokenizer = tokenizerOf(language);
  if (typeof prompt === 'string') return tokenizer.encode(prompt);
  // Templates write the special tokens themselves.
  return tokenizer.encode(renderMessages(prompt, language), { addSpecialTokens: false });
}

/**
 * Tokens of a text in the middle of another. Tokenizers that put a space in front of every text would put one here too; so they
 * are given a line break to put it in front of, whose tokens are taken off again.
 */
export function encodeContinuation(text: string, tokenizer: Tokenizer): number[] {
  const [anchor, whole] = ['\n', `\n${text}`].map((each) => tokenizer.encode(each, { addSpecialTokens: false }));
  if (anchor && whole && anchor.every((id, i) => whole[i] === id)) return whole.slice(anchor.length);
  return tokenizer.encode(text, { addSpecialTokens: false });
}

/** @throws {@link ContextOverflowError}, {@link InvalidArgumentError} for ids that are no tokens */
export function checkTokens(ids: ArrayLike<number>, contextLength: number, vocabularySize: number): void {
  if (ids.length > contextLength) throw new ContextOverflowError(ids.length, contextLength);
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i] ?? NaN;
    if (!Number.isInteger(id) || id < 0 || id >= vocabularySize)
      throw new InvalidArgumentError(`${id} is no token of a vocabulary of ${vocabularySize}.`);
  }
}

/** Tokens of a prompt that a decoder has to have seen, so that a character across the border comes out whole. */
const decoderContext = 8;

/**
 * A decoder for what follows some tokens: in the middle of a text, a word keeps the space in front of it. Undefined without a
 * tokenizer.
 */
export function decoderAfter(tokens: ArrayLike<number>, { tokenizer }: Language): StreamingDecoder | undefined {
  if (tokenizer instanceof TokenizerError) return undefined;
  const decoder = tokenizer.streamingDecoder();
  for (let i = Math.max(0, tokens.length - decoderContext); i < tokens.length; i++) decoder.push(tokens[i] ?? 0);
  return decoder;
}

/** The text of tokens that follow others; empty without a tokenizer. */
export function decodeAfter(before: ArrayLike<number>, tokens: readonly number[], language: Language): string {
  const decoder = decoderAfter(before, language);
  return decoder ? tokens.map((token) => decoder.push(token)).join('') + decoder.flush() : '';
}

export function renderMessages(messages: readonly ChatMessage[], { path, chatTemplate }: Language): string {
  if (!chatTemplate) throw new NoChatTemplateError(path);
  return chatTemplate.render(messages, { addGenerationPrompt: true });
}

export function tokenizerOf({ tokenizer }: Language): Tokenizer {
  if (tokenizer instanceof TokenizerError) throw tokenizer;
  return tokenizer;
}
