import { Command } from 'commander';
import { pull as download } from '@llm/models';
import { commonOptions, type CommonOptions } from '../arguments.ts';
import { InterruptSignal } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { ProgressDisplay } from '../progress.ts';

interface PullOptions extends CommonOptions {
  readonly revision?: string;
}

export function pull(output: Output): Command {
  return commonOptions(new Command('pull'))
    .description(
      'download a model from the hub into the standard cache; an interrupted download goes on where it stopped',
    )
    .argument('<model>', 'owner/name or hf:owner/name[@revision]')
    .option('--revision <name>', 'branch, tag or commit (default: main)')
    .addHelpText(
      'after',
      '\nHF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE are respected.\n\nExample:\n  llm pull HuggingFaceTB/SmolLM2-135M-Instruct',
    )
    .action(async (model: string, options: PullOptions) => {
      const [name = '', inlineRevision] = model.replace(/^hf:/, '').split('@');
      const revision = options.revision ?? inlineRevision;
      using interrupt = new InterruptSignal();
      using progress = new ProgressDisplay(output, options.quiet ?? options.json ?? false);
      const path = await download(name, {
        ...(revision === undefined ? {} : { revision }),
        signal: interrupt.signal,
        onProgress: progress.update,
      });
      output.write(options.json ? JSON.stringify({ model: name, path }) : path);
    });
}
