import { readFile } from 'node:fs/promises';
import {
  evaluate as evaluateTasks,
  formatCsv,
  formatTable,
  modelScorer,
  perplexity,
  taskNamed,
  type EvaluationResult,
  type Perplexity,
} from '@llm/eval';
import { InvalidOptionError } from '@llm/tensor';
import { Command } from 'commander';
import { choice, commaSeparated, modelOptions, wholeNumber, type ModelOptions } from '../arguments.ts';
import { InterruptSignal } from '../interrupt.ts';
import { loadModel } from '../load-model.ts';
import type { Output } from '../output.ts';
import { ProgressDisplay } from '../progress.ts';

interface EvalOptions extends ModelOptions {
  readonly tasks?: readonly string[];
  readonly data?: string;
  readonly limit?: number;
  readonly perplexity?: string;
  readonly convention?: 'gptq' | 'llama.cpp' | 'all';
  readonly window?: number;
  readonly windows?: number;
  readonly journal?: string;
  readonly csv?: true;
}

export function evaluate(output: Output): Command {
  const command = new Command('eval')
    .description('judge a model as lm-evaluation-harness does, zero-shot')
    .argument('<model>', 'folder, .gguf file, hf:owner/name, or stories-llama-5m')
    .option(
      '--tasks <names>',
      'lambada, hellaswag, winogrande, piqa, arc_easy, wikitext; comma between them',
      commaSeparated,
    )
    .option('--data <path>', 'folder or file with the data sets')
    .option('--limit <n>', 'only the first n documents of each task', wholeNumber(1))
    .option('--perplexity <file>', 'perplexity of a text file')
    .addOption(
      choice('--convention <name>', 'how the text is cut for --perplexity (default: gptq)', [
        'gptq',
        'llama.cpp',
        'all',
      ]),
    )
    .option('--window <tokens>', 'tokens in a window of --perplexity', wholeNumber(2))
    .option('--windows <n>', 'only the first n windows', wholeNumber(1))
    .option('--journal <file>', 'keep each scored document, and go on from there')
    .option('--csv', 'print comma-separated values');
  return modelOptions(command)
    .addHelpText('after', '\nExample:\n  llm eval ./my-model-int4 --tasks lambada,piqa --data ./data')
    .action(async (source: string, options: EvalOptions) => {
      if (!options.tasks && options.perplexity === undefined)
        throw new InvalidOptionError('tasks', '', ['--tasks with --data', '--perplexity with a text file']);
      const tasks = (options.tasks ?? []).map(taskNamed);
      if (tasks.length > 0 && options.data === undefined)
        throw new InvalidOptionError('data', '', [`a folder with ${tasks.map((task) => task.files[0]).join(', ')}`]);
      using interrupt = new InterruptSignal();
      await using model = await loadModel(source, options, output, interrupt.signal);
      using progress = new ProgressDisplay(output, options.quiet ?? options.json ?? false);
      const { signal } = interrupt;
      const result = await evaluateTasks(
        modelScorer(model),
        tasks.map((task) => ({ task, data: options.data ?? '' })),
        {
          signal,
          onProgress: progress.update,
          modelName: source,
          ...(options.limit === undefined ? {} : { limit: options.limit }),
          ...(options.journal === undefined ? {} : { journal: options.journal }),
        },
      );
      const text = options.perplexity === undefined ? undefined : await readFile(options.perplexity, 'utf8');
      const measured =
        text === undefined
          ? undefined
          : await perplexity(modelScorer(model), text, {
              signal,
              onProgress: progress.update,
              ...(options.convention === undefined ? {} : { convention: options.convention }),
              ...(options.window === undefined ? {} : { window: options.window }),
              ...(options.windows === undefined ? {} : { windows: options.windows }),
            });
      progress[Symbol.dispose]();
      print(output, options, result, measured);
    });
}

function print(output: Output, options: EvalOptions, result: EvaluationResult, measured: Perplexity | undefined): void {
  if (options.json) {
    output.write(JSON.stringify({ ...result, ...(measured === undefined ? {} : { perplexity: measured }) }));
    return;
  }
  if (result.tasks.length > 0) output.write(options.csv ? formatCsv(result.tasks) : formatTable(result.tasks));
  if (measured) {
    const { value, standardError, convention, window, windows, scoredTokens } = measured;
    const error = standardError === undefined ? '' : ` ± ${standardError.toFixed(4)}`;
    output.write(
      `perplexity ${value.toFixed(4)}${error} (${convention}: ${windows} windows of ${window}, ${scoredTokens} tokens scored)`,
    );
  }
}
