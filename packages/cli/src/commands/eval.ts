import { readFile } from 'node:fs/promises';
import {
  compareResults,
  evaluate as evaluateTasks,
  formatComparison,
  formatCsv,
  formatTable,
  modelScorer,
  parseResult,
  perplexity,
  taskNamed,
  type Comparison,
  type StoredResult,
} from '@llm/eval';
import { InvalidOptionError } from '@llm/tensor';
import { Command } from 'commander';
import { choice, commaSeparated, modelOptions, share, wholeNumber, type ModelOptions } from '../arguments.ts';
import { GateError } from '../gate-error.ts';
import { InterruptSignal } from '../interrupt.ts';
import { loadModel } from '../load-model.ts';
import type { Output } from '../output.ts';
import { ProgressDisplay } from '../progress.ts';
import { readText } from '../read-text.ts';

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
  readonly baseline?: string;
  readonly failUnder?: number;
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
    .option('--csv', 'print comma-separated values')
    .option('--baseline <file>', 'compare with an earlier result (--json), document by document')
    .option('--fail-under <share>', 'exit with 1 if less than this share of the baseline is left in any task', share);
  return modelOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  llm eval ./my-model-int4 --tasks lambada,piqa --data ./data
  llm eval ./my-model --compute f32 --tasks piqa --data ./data --json > fp32.json
  llm eval ./my-model-int4 --tasks piqa --data ./data --baseline fp32.json --fail-under 0.99`,
    )
    .action(async (source: string, options: EvalOptions) => {
      if (!options.tasks && options.perplexity === undefined)
        throw new InvalidOptionError('tasks', '', ['--tasks with --data', '--perplexity with a text file']);
      const tasks = (options.tasks ?? []).map(taskNamed);
      if (tasks.length > 0 && options.data === undefined)
        throw new InvalidOptionError('data', '', [`a folder with ${tasks.map((task) => task.files[0]).join(', ')}`]);
      if (options.failUnder !== undefined && options.baseline === undefined)
        throw new InvalidOptionError('baseline', '', ['a result of llm eval --json, for --fail-under']);
      // Before the long part: a wrong file must not cost an hour.
      const baseline = options.baseline === undefined ? undefined : await readBaseline(options.baseline);
      const text = options.perplexity === undefined ? undefined : await readText(options.perplexity);
      using interrupt = new InterruptSignal();
      await using model = await loadModel(source, options, output, interrupt.signal);
      using progress = new ProgressDisplay(output, options.quiet ?? options.json ?? false);
      const { signal } = interrupt;
      const evaluation = await evaluateTasks(
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
      const result: StoredResult = { ...evaluation, ...(measured === undefined ? {} : { perplexity: measured }) };
      const comparison = baseline && compareResults(baseline, result);
      print(output, options, result, comparison);
      checkGate(comparison ?? [], options.failUnder);
    });
}

async function readBaseline(path: string): Promise<StoredResult> {
  const text = await readFile(path, 'utf8').catch(() => {
    throw new InvalidOptionError('baseline', path, ['a file that llm eval --json wrote']);
  });
  return parseResult(text, path);
}

/** The measured shares decide, without their errors: a gate must say the same to everyone. */
function checkGate(comparison: readonly Comparison[], failUnder: number | undefined): void {
  if (failUnder === undefined) return;
  const failed = comparison.filter(({ kept }) => !(kept >= failUnder));
  if (failed.length === 0) return;
  const list = failed
    .map(({ task, metric, kept }) => `${task} ${metric} keeps ${(kept * 100).toFixed(2)} %`)
    .join(', ');
  throw new GateError(`${list} of the baseline; --fail-under asks for ${(failUnder * 100).toFixed(2)} %`);
}

function print(
  output: Output,
  options: EvalOptions,
  result: StoredResult,
  comparison: readonly Comparison[] | undefined,
): void {
  if (options.json) {
    output.write(JSON.stringify({ ...result, ...(comparison ? { comparison } : {}) }));
    return;
  }
  if (options.csv) {
    output.write(formatCsv(result.tasks, result.perplexity));
    return;
  }
  if (result.tasks.length > 0) output.write(formatTable(result.tasks));
  if (result.perplexity) {
    const { value, standardError, convention, window, windows, scoredTokens } = result.perplexity;
    const error = standardError === undefined ? '' : ` ± ${standardError.toFixed(4)}`;
    output.write(
      `perplexity ${value.toFixed(4)}${error} (${convention}: ${windows} windows of ${window}, ${scoredTokens} tokens scored)`,
    );
  }
  if (comparison) output.write(`\n${formatComparison(comparison)}`);
}
