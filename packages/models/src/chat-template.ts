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
    let refusal: string | undefined;
    try {
      this.#template ??= new Template(this.source);
      return this.#template.render({
        ...this.#tokens,
        messages,
        add_generation_prompt: options.addGenerationPrompt ?? true,
        raise_exception: (message: unknown) => {
          refusal = String(message);
          throw new Error(refusal);
        },
        strftime_now: (format: string) => formatTime(format, new Date()),
        ...options.variables,
      });
    } catch (cause) {
      const reason =
        refusal === undefined
          ? `The model's chat template does not work here: ${(cause as Error).message}.`
          : `The model's chat template refuses this conversation: ${refusal}.`;
      throw new ChatTemplateError(reason, { cause });
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

const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const months = [
  ...['January', 'February', 'March', 'April', 'May', 'June'],
  ...['July', 'August', 'September', 'October', 'November', 'December'],
];

/** C's `strftime` for the conversions that templates use, in English and local time. Unknown ones stay as they are. */
export function formatTime(format: string, time: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = days[time.getDay()] as string;
  const month = months[time.getMonth()] as string;
  const dayOfYear =
    Math.round(
      (Date.UTC(time.getFullYear(), time.getMonth(), time.getDate()) - Date.UTC(time.getFullYear(), 0, 1)) / 86_400_000,
    ) + 1;
  const conversions: Readonly<Record<string, string>> = {
    A: day,
    a: day.slice(0, 3),
    B: month,
    b: month.slice(0, 3),
    d: two(time.getDate()),
    e: String(time.getDate()).padStart(2, ' '),
    H: two(time.getHours()),
    I: two(time.getHours() % 12 || 12),
    j: String(dayOfYear).padStart(3, '0'),
    M: two(time.getMinutes()),
    m: two(time.getMonth() + 1),
    p: time.getHours() < 12 ? 'AM' : 'PM',
    S: two(time.getSeconds()),
    Y: String(time.getFullYear()),
    y: two(time.getFullYear() % 100),
    '%': '%',
  };
  return format.replace(/%([A-Za-z%])/gu, (whole, letter: string) => conversions[letter] ?? whole);
}
