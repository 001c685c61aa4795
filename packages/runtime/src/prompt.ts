import { InvalidArgumentError } from '@llm/tensor';
import { TokenizerError, type ChatMessage, type ChatTemplate, type Tokenizer } from '@llm/models';

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
  return typeof prompt !== 'string' && (prompt instanceof Int32Array || typeof prompt[0] === 'number');
}

/** @throws {@link TokenizerError}, {@link NoChatTemplateError}, {@link InvalidArgumentError} for an empty prompt */
export function encodePrompt(prompt: Prompt, language: Language): Int32Array {
  const ids = isTokens(prompt) ? Int32Array.from(prompt) : encodeText(prompt, language);
  if (ids.length === 0) throw new InvalidArgumentError('The prompt is empty: there is nothing to go on with.');
  return ids;
}

function encodeText(prompt: string | readonly ChatMessage[], language: Language): Int32Array {
  const tokenizer = tokenizerOf(language);
  if (typeof prompt === 'string') return Int32Array.from(tokenizer.encode(prompt));
  // Templates write the special tokens themselves.
  return Int32Array.from(tokenizer.encode(renderMessages(prompt, language), { addSpecialTokens: false }));
}

export function renderMessages(messages: readonly ChatMessage[], { path, chatTemplate }: Language): string {
  if (!chatTemplate) throw new NoChatTemplateError(path);
  return chatTemplate.render(messages, { addGenerationPrompt: true });
}

export function tokenizerOf({ tokenizer }: Language): Tokenizer {
  if (tokenizer instanceof TokenizerError) throw tokenizer;
  return tokenizer;
}
