import { quantize as quantizeModel, methodNames, type QuantizeOptions } from '@llm/quant';
import { Command } from 'commander';
import { choice, collect, commonOptions, groupSize, wholeNumber, type CommonOptions } from '../arguments.ts';
import { calibrationOptions, toCalibration, type CalibrationFlags } from '../calibration-options.ts';
import { InterruptSignal } from '../interrupt.ts';
import { methodOptions, toMethodOptions, type MethodFlags } from '../method-options.ts';
import type { Output } from '../output.ts';
import { ProgressDisplay } from '../progress.ts';
import { modelSource } from '../shipped-models.ts';
import { bytes, percent } from '../units.ts';

interface QuantizeFlags extends CommonOptions, CalibrationFlags, MethodFlags {
  readonly output: string;
  readonly method: QuantizeOptions['method'];
  readonly bits?: number;
  readonly groupSize?: number;
  readonly scheme?: NonNullable<QuantizeOptions['scheme']>;
  readonly clipSearch?: true;
  readonly scales?: NonNullable<QuantizeOptions['scales']>;
  readonly headBits?: number;
  readonly skip?: readonly string[];
}

export function quantize(output: Output): Command {
  const command = new Command('quantize')
    .description('shrink a model: 4-bit weights, written as a folder that loads without any conversion')
    .argument('<model>', 'folder, .gguf file, hf:owner/name, or stories-llama-5m')
    .requiredOption('-o, --output <folder>', 'where to write; appears only when complete')
    .addOption(choice('-m, --method <name>', 'how', methodNames).default('rtn'))
    .option('-b, --bits <n>', 'bits of a weight, 2 to 8 (default: 4)', wholeNumber(2, 8))
    .option('-g, --group-size <n>', 'weights under one scale, or -1 per channel (default: 32)', groupSize)
    .addOption(choice('--scheme <name>', 'the grid (default: sym)', ['sym', 'asym', 'min']))
    .addOption(choice('--scales <type>', 'how scales are stored (default: half)', ['half', 'two-level']))
    .option('--clip-search', 'search each group for the range with the least error')
    .option('--head-bits <n>', 'bits of the output head and the embedding (default: 8)', wholeNumber(2, 8))
    .option('--skip <pattern>', 'leave these layers as they are, * for any characters; may be repeated', collect);
  return methodOptions(calibrationOptions(commonOptions(command)))
    .addHelpText(
      'after',
      '\nAn interrupted run goes on where it stopped when it is started again.\n\nExample:\n  llm quantize ./llama-2-7b -g 128 -o ./llama-2-7b-int4\n  llm quantize ./llama-2-7b -m gptq -g 128 --calibration text.txt -o ./llama-2-7b-gptq\n  llm quantize ./model -m signround -b 2 --layer "*.down_proj:bits=4,group-size=32" --calibration text.txt -o ./model-2',
    )
    .action(async (source: string, flags: QuantizeFlags) => {
      using interrupt = new InterruptSignal();
      using progress = new ProgressDisplay(output, flags.quiet ?? flags.json ?? false);
      const report = await quantizeModel(modelSource(source), {
        method: flags.method,
        output: flags.output,
        ...(flags.bits === undefined ? {} : { bits: flags.bits }),
        ...(flags.groupSize === undefined ? {} : { groupSize: flags.groupSize }),
        ...(flags.scheme === undefined ? {} : { scheme: flags.scheme }),
        ...(flags.clipSearch === undefined ? {} : { clipSearch: true }),
        ...(flags.scales === undefined ? {} : { scales: flags.scales }),
        ...(flags.headBits === undefined ? {} : { head: { bits: flags.headBits } }),
        ...(flags.skip === undefined ? {} : { skip: flags.skip }),
        ...toMethodOptions(flags),
        ...toCalibration(flags),
        signal: interrupt.signal,
        onProgress: progress.update,
      });
      progress[Symbol.dispose]();
      if (flags.json) {
        output.write(JSON.stringify(report));
        return;
      }
      const worst = report.layers.reduce((a, b) => (b.relativeError > a.relativeError ? b : a));
      output.write(
        `${report.output}: ${bytes(report.bytesBefore)} -> ${bytes(report.bytesAfter)} (${percent(report.bytesAfter / report.bytesBefore)})`,
      );
      if (!flags.quiet)
        output.note(
          `${report.layers.length} matrices; largest error ${percent(worst.relativeError)} of the norm, in ${worst.weight}`,
        );
    });
}
