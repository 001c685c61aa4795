import { createInterface, type Interface } from 'node:readline';
import type { Generation, Model, Session } from '@llm/runtime';
import { LlmError } from '@llm/tensor';
import { toGenerateOptions, type GenerationFlags } from '../generation-options.ts';
import type { Output } from '../output.ts';
import { styles, wantsColours } from '../styles.ts';
import { usageLine } from '../usage-line.ts';
import { historyFile, historySize, readHistory, writeHistory } from './history.ts';
import { MessageReader } from './message-reader.ts';

export interface ChatOptions extends GenerationFlags {
  readonly system?: string;
}

const help = `/help             this list
/reset            forget the conversation
/system TEXT      set the system message and start again
/stats            tokens and speed of the last answer
/exit             leave (also Ctrl-D)
A line that ends in \\ goes on in the next; """ opens and closes a message of several lines. Ctrl-C stops an answer; at the
prompt it leaves. The arrow keys bring earlier lines back.`;

const commandNames = ['/help', '/reset', '/system', '/stats', '/exit'];

/** One chat at a terminal, or over a pipe: a line in, an answer out. */
export class Conversation implements Disposable {
  readonly #options: ChatOptions;
  readonly #output: Output;
  readonly #lines: Interface;
  readonly #style = styles(wantsColours());
  readonly #session: Session;
  readonly #message = new MessageReader();
  readonly #terminal = process.stdin.isTTY;
  #history: readonly string[] = [];
  #system: string | undefined;
  #answer: Generation | undefined;
  #lastUsage = '';

  constructor(model: Model, options: ChatOptions, output: Output) {
    this.#options = options;
    this.#output = output;
    this.#session = model.session();
    this.#system = options.system;
    this.#lines = createInterface({
      input: process.stdin,
      ...(this.#terminal ? { output: process.stderr, history: readHistory(historyFile()) } : {}),
      historySize,
      removeHistoryDuplicates: true,
      completer: (line: string): [string[], string] => [commandNames.filter((name) => name.startsWith(line)), line],
    });
    this.#lines.on('history', (newestFirst: string[]) => {
      this.#history = [...newestFirst];
    });
    this.#lines.on('SIGINT', () => {
      if (this.#answer) this.#answer.cancel();
      else if (this.#message.unfinished) {
        this.#message.clear();
        this.#prompt();
      } else this.#lines.close();
    });
  }

  async run(): Promise<void> {
    if (!this.#options.quiet) this.#output.note(this.#style.faint('/help lists the commands'));
    this.#prompt();
    for await (const line of this.#lines) {
      const text = this.#message.push(line);
      if (text === '/exit') break;
      if (text?.startsWith('/')) this.#command(text);
      else if (text) await this.#reply(text);
      this.#prompt();
    }
  }

  [Symbol.dispose](): void {
    this.#lines.close();
    if (this.#terminal) writeHistory(historyFile(), this.#history);
    this.#session.dispose();
  }

  #prompt(): void {
    if (!this.#terminal) return;
    this.#lines.setPrompt(this.#style.strong(this.#message.unfinished ? '… ' : '> '));
    this.#lines.prompt();
  }

  async #reply(text: string): Promise<void> {
    const opening = this.#session.messages.length === 0 && this.#system !== undefined;
    const system = opening ? [{ role: 'system', content: this.#system ?? '' }] : [];
    try {
      this.#answer = this.#session.generate(
        [...system, { role: 'user', content: text }],
        toGenerateOptions(this.#options),
      );
      for await (const piece of this.#answer) this.#output.stream(piece);
      this.#lastUsage = usageLine(await this.#answer.usage);
      const stopped = (await this.#answer.finishReason) === 'aborted';
      this.#output.write(stopped ? this.#style.faint(' (stopped)') : '');
    } catch (error) {
      // Such as a conversation that no longer fits: the user decides how to go on.
      if (!this.#terminal || !LlmError.isInstance(error)) throw error;
      this.#output.note(`error: ${error.message}`);
    } finally {
      this.#answer = undefined;
    }
  }

  #command(line: string): void {
    const [name = '', ...rest] = line.slice(1).split(' ');
    switch (name) {
      case 'help':
        this.#output.note(help);
        break;
      case 'reset':
      case 'system':
        this.#session.reset();
        if (name === 'system') this.#system = rest.join(' ');
        this.#output.note('a new conversation');
        break;
      case 'stats':
        this.#output.note(this.#lastUsage || 'no answer yet');
        break;
      default:
        this.#output.note(`There is no /${name}.\n${help}`);
    }
  }
}
