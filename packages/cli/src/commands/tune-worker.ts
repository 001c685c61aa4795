import { Command } from 'commander';
import { commonOptions, wholeNumber, type CommonOptions } from '../arguments.ts';
import { Interrupted, InterruptSignal } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { serveTrials } from '../tune/tune-worker.ts';

interface TuneWorkerFlags extends CommonOptions {
  readonly threads?: number;
  readonly patience?: number;
  readonly folder?: string;
}

export function tuneWorker(output: Output): Command {
  const command = new Command('tune-worker')
    .description('carry out trials for llm tune --workers, until it is stopped')
    .argument('<redis>', 'redis://host:6379, the same as of llm tune')
    .option('-t, --threads <n>', 'threads', wholeNumber(1, 1024))
    .option('--patience <seconds>', 'silence after which a trial goes to another worker (default: 60)', wholeNumber(1))
    .option('--folder <path>', 'where candidates lie while they are judged');
  return commonOptions(command)
    .addHelpText(
      'after',
      '\nModel, data and calibration text are looked for by the names that llm tune was given: they have to be there.\nNeeds BullMQ: npm install bullmq ioredis\n\nExample:\n  llm tune-worker redis://build-server:6379',
    )
    .action(async (url: string, flags: TuneWorkerFlags) => {
      using interrupt = new InterruptSignal();
      await serveTrials(url, {
        ...(flags.threads === undefined ? {} : { threads: flags.threads }),
        ...(flags.patience === undefined ? {} : { patience: flags.patience }),
        ...(flags.folder === undefined ? {} : { folder: flags.folder }),
        signal: interrupt.signal,
        onStart: (name) => {
          if (!flags.quiet) output.note(`${name}: begun`);
        },
        onTrial: (trial) => {
          if (flags.json) output.write(JSON.stringify(trial));
          else if (!flags.quiet) output.note(`${trial.name}: ${trial.verdict}`);
        },
      });
      throw new Interrupted();
    });
}
