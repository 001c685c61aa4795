import { Template } from '@huggingface/jinja';

import { ChatTemplateError } from './errors.ts';

/** Turns a conversation into the text that a model was trained to continue. */
export interface ChatTemplate {
  /** The Jinja source. */
  readonly source: string;
  /**
   * The text of a conversation. It holds the model's special tokens already: encode it without adding more.
   * @throws {@link ChatTemplateError} where the template refuses the conversation or is not valid Jinja
   */
  render(messages: readonly ChatMessage[], options?: RenderOptions): string;
}

export interface ChatMessage {
  /** Usually `system`, `user` or `assistant`. */
  readonly role: string;
  readonly content: string;
}

export interface RenderOptions {
  /** End with the opening of the assistant's turn. Default true. */
  readonly addGenerationPrompt?: boolean;
  /** More variables for the template, such as `tools` or `enable_thinking`. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** A template in Jinja, as models bring it along. `tokens` are variables such as `bos_token`. */
export class JinjaChatTemplate implements ChatTemplate {
  readonly source: string;
  readonly #tokens: Readonly<Record<string, string>>;
  #template: Template | undefined;

  constructor(source: string, tokens: Readonly<Record<string, string>> = {}) {
    this.source = source;
    this.#tokens = tokens;
  }

  render(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
    const template = (this.#template ??= this.#parse());
    try {
      // The library itself provides raise_exception and strftime_now.
      return template.render({
        ...this.#tokens,
        messages,
        add_generation_prompt: options.addGenerationPrompt ?? true,
        ...options.variables,
      });
    } catch (cause) {
      const reason = (cause as Error).message;
      throw new ChatTemplateError(`The model's chat template refuses this conversation: ${reason}.`, { cause });
    }
  }

  #parse(): Template {
    try {
      return new Template(this.source);
    } catch (cause) {
      const reason = (cause as Error).message;
      throw new ChatTemplateError(`The model's chat template is not valid Jinja: ${reason}.`, { cause });
    }
  }
}

/** Finds the template among the forms in which tokenizer_config.json holds it: one text, or a list with names. */
export function defaultTemplate(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return undefined;
  const named = value.filter(
    (item): item is { name: string; template: string } =>
      typeof item === 'object' && item !== null && typeof (item as { template?: unknown }).template === 'string',
  );
  return (named.find(({ name }) => name === 'default') ?? named[0])?.template;
}
