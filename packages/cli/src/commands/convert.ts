import { convert as convertModel, type ConversionOptions, type ConversionTarget } from '@llm/models';
import { Command } from 'commander';
import { choice, commonOptions, type CommonOptions } from '../arguments.ts';
import { InterruptSignal } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { ProgressDisplay } from '../progress.ts';
import { modelSource } from '../shipped-models.ts';

interface ConvertFlags extends CommonOptions {
  readonly to: ConversionTarget;
  readonly type?: NonNullable<ConversionOptions['type']>;
}

export function convert(output: Output): Command {
  const command = new Command('convert')
    .description('write a model in another format; integers stay the same where the target has the grid')
    .argument('<model>', 'folder, .gguf file, hf:owner/name, or stories-llama-5m')
    .argument('<output>', 'a file for gguf, a folder for the others')
    .addOption(
      choice('--to <format>', 'target', [
        'gguf',
        'gptq',
        'awq',
        'compressed-tensors',
        'safetensors',
        'packed',
      ]).makeOptionMandatory(),
    )
    .addOption(
      choice('--type <type>', 'how dense weights are written', ['F32', 'F16', 'BF16', 'Q8_0', 'Q4_0', 'Q4_1']),
    );
  return commonOptions(command)
    .addHelpText('after', '\nExample:\n  llm convert ./my-model-int4 my-model.gguf --to gguf')
    .action(async (source: string, target: string, flags: ConvertFlags) => {
      using interrupt = new InterruptSignal();
      using progress = new ProgressDisplay(output, flags.quiet ?? flags.json ?? false);
      const report = await convertModel(modelSource(source), target, {
        to: flags.to,
        ...(flags.type === undefined ? {} : { type: flags.type }),
        signal: interrupt.signal,
        onProgress: progress.update,
      });
      progress[Symbol.dispose]();
      if (flags.json) {
        output.write(JSON.stringify(report));
        return;
      }
      const changed = report.weights.filter((weight) => weight.largestError > 0).length;
      const exactness = report.lossless
        ? 'lossless'
        : `${changed} of ${report.weights.length} weights changed, the largest difference is ${report.largestError.toExponential(2)}`;
      output.write(`${report.output}: ${exactness}`);
    });
}
