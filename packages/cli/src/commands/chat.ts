import { createInterface, type Interface } from 'node:readline/promises';
import { Command } from 'commander';
import type { Generation, Model, Session } from '@llm/runtime';
import { modelOptions } from '../arguments.ts';
import { generationOptions, toGenerateOptions, type GenerationFlags } from '../generation-options.ts';
import { InterruptSignal } from '../interrupt.ts';
import { loadModel } from '../load-model.ts';
import type { Output } from '../output.ts';
import { styles, wantsColours } from '../styles.ts';
import { usageLine } from '../usage-line.ts';

interface ChatOptions extends GenerationFlags {
  readonly system?: string;
}

const help = `/help             this list
/reset            forget the conversation
/system TEXT      set the system message and start again
/stats            tokens and speed of the last answer
/exit             leave (also Ctrl-D)
A line that ends in \\ goes on in the next. Ctrl-C stops an answer; at the prompt it leaves.`;

export function chat(output: Output): Command {
  const command = new Command('chat')
    .description('talk with a model')
    .argument('<model>', 'folder, .gguf file, hf:owner/name')
    .option('--system <text>', 'system message');
  return generationOptions(modelOptions(command)).action(async (source: string, options: ChatOptions) => {
    using interrupt = new InterruptSignal();
    await using model = await loadModel(source, options, output, interrupt.signal);
    interrupt[Symbol.dispose](); // from here on Ctrl-C belongs to the conversation
    using conversation = new Conversation(model, options, output);
    await conversation.run();
  });
}

/** One chat at a terminal, or over a pipe: a line in, an answer out. */
class Conversation implements Disposable {
  readonly #options: ChatOptions;
  readonly #output: Output;
  readonly #lines: Interface;
  readonly #style = styles(wantsColours());
  readonly #session: Session;
  #system: string | undefined;
  #answer: Generation | undefined;
  #lastUsage = '';

  constructor(model: Model, options: ChatOptions, output: Output) {
    this.#options = options;
    this.#output = output;
    this.#session = model.session();
    this.#system = options.system;
    const terminal = process.stdin.isTTY;
    this.#lines = createInterface({
      input: process.stdin,
      ...(terminal ? { output: process.stderr } : {}),
      historySize: 1000,
    });
    this.#lines.on('SIGINT', () => {
      if (this.#answer) this.#answer.cancel();
      else this.#lines.close();
    });
  }

  async run(): Promise<void> {
    if (!this.#options.quiet) this.#output.note(this.#style.faint('/help lists the commands'));
    this.#prompt();
    let message = '';
    for await (const line of this.#lines) {
      message += line;
      if (message.endsWith('\\')) {
        message = `${message.slice(0, -1)}\n`;
        continue;
      }
      const text = message.trim();
      message = '';
      if (text === '/exit') break;
      if (text.startsWith('/')) this.#command(text);
      else if (text !== '') await this.#reply(text);
      this.#prompt();
    }
  }

  [Symbol.dispose](): void {
    this.#lines.close();
    this.#session.dispose();
  }

  #prompt(): void {
    if (!process.stdin.isTTY) return;
    this.#lines.setPrompt(this.#style.strong('> '));
    this.#lines.prompt();
  }

  async #reply(text: string): Promise<void> {
    const opening = this.#session.messages.length === 0 && this.#system !== undefined;
    const system = opening ? [{ role: 'system', content: this.#system ?? '' }] : [];
    this.#answer = this.#session.generate(
      [...system, { role: 'user', content: text }],
      toGenerateOptions(this.#options),
    );
    try {
      for await (const piece of this.#answer) this.#output.stream(piece);
      this.#lastUsage = usageLine(await this.#answer.usage);
    } finally {
      this.#answer = undefined;
      this.#output.write('');
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
