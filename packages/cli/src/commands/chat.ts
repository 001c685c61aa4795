import { Command } from 'commander';
import { modelOptions } from '../arguments.ts';
import { Conversation, type ChatOptions } from '../chat/conversation.ts';
import { generationOptions } from '../generation-options.ts';
import { InterruptSignal } from '../interrupt.ts';
import { loadModel } from '../load-model.ts';
import type { Output } from '../output.ts';

export function chat(output: Output): Command {
  const command = new Command('chat')
    .description('talk with a model')
    .argument('<model>', 'folder, .gguf file, hf:owner/name')
    .option('--system <text>', 'system message');
  return generationOptions(modelOptions(command))
    .addHelpText(
      'after',
      `
Lines that were typed are kept in LLM_CHAT_HISTORY (default: ~/.local/state/llm/chat-history; empty for none).

Examples:
  llm chat ./SmolLM2-135M-Instruct.Q4_1.gguf
  llm chat ./llama-2-7b-chat-int4 --system "Answer in one sentence." --temperature 0.7`,
    )
    .action(async (source: string, options: ChatOptions) => {
      using interrupt = new InterruptSignal();
      await using model = await loadModel(source, options, output, interrupt.signal);
      interrupt[Symbol.dispose](); // from here on Ctrl-C belongs to the conversation
      using conversation = new Conversation(model, options, output);
      await conversation.run();
    });
}
