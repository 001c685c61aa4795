/** Turns a conversation into the text that a model was trained to continue. */
export interface ChatTemplate {
  /** The Jinja source. */
  readonly source: string;
  /** Throws `ChatTemplateError` where the template refuses the conversation. */
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
