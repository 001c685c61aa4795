import { InvalidOptionError } from '@llm/tensor';
import { Command } from 'commander';
import { modelOptions, textOf } from '../arguments.ts';
import { generationOptions, toGenerateOptions, type GenerationFlags } from '../generation-options.ts';
import { InterruptSignal } from '../interrupt.ts';
import { loadModel } from '../load-model.ts';
import { outputFormOptions, readOutputForm, type OutputFormFlags } from '../output-form.ts';
import type { Output } from '../output.ts';
import { usageLine } from '../usage-line.ts';

interface RunOptions extends GenerationFlags, OutputFormFlags {
  readonly system?: string;
  readonly chat?: true;
}

export function run(output: Output): Command {
  const command = new Command('run')
    .description('complete a text; with --chat, answer it')
    .argument('<model>', 'folder, .gguf file, hf:owner/name, or stories-llama-5m')
    .argument('[prompt]', 'the text, @file to read one, or standard input if there is none')
    .option('--chat', 'put the prompt into the model’s chat template')
    .option('--system <text>', 'system message, with --chat');
  return outputFormOptions(generationOptions(modelOptions(command)))
    .addHelpText('after', '\nExample:\n  llm run stories-llama-5m "Once upon a time" -n 100 --temperature 0.8 --seed 1')
    .action(async (source: string, argument: string | undefined, options: RunOptions) => {
      const prompt = await textOf(argument);
      if (prompt === undefined)
        throw new InvalidOptionError('prompt', '', ['a text as the second argument', '@file', 'standard input']);
      const form = await readOutputForm(options);
      using interrupt = new InterruptSignal();
      await using model = await loadModel(source, options, output, interrupt.signal);
      const messages = [
        ...(options.system === undefined ? [] : [{ role: 'system', content: options.system }]),
        { role: 'user', content: prompt },
      ];
      const generation = model.generate(options.chat ? messages : prompt, {
        ...toGenerateOptions(options),
        ...form,
        signal: interrupt.signal,
      });
      if (options.json) {
        const [text, usage, finishReason] = [
          await generation.text,
          await generation.usage,
          await generation.finishReason,
        ];
        output.write(JSON.stringify({ text, finishReason, usage }));
        return;
      }
      if (!options.chat) output.stream(prompt);
      for await (const text of generation) output.stream(text);
      output.write('');
      if (!options.quiet) output.note(usageLine(await generation.usage));
    });
}
