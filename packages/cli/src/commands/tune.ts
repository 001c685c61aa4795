import { writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { extname } from 'node:path';
import {
  autoQuantize,
  methodNames,
  tuneHtml,
  tuneJson,
  tuneMarkdown,
  type MethodName,
  type TuneReport,
  type TuneResult,
} from '@llm/quant';
import { cpuInfo, InvalidOptionError, probeReadBandwidth } from '@llm/tensor';
import { Command } from 'commander';
import {
  choice,
  collect,
  commaSeparated,
  commonOptions,
  share,
  wholeNumber,
  type CommonOptions,
} from '../arguments.ts';
import { calibrationOptions, toCalibration, type CalibrationFlags } from '../calibration-options.ts';
import { GateError } from '../gate-error.ts';
import { InterruptSignal } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { ProgressDisplay } from '../progress.ts';
import { modelSource } from '../shipped-models.ts';
import { Judge, judgeFlags, type JudgeFlags } from '../tune/judge.ts';
import { RedisWorkers } from '../tune/redis-workers.ts';
import { bytes, count, duration } from '../units.ts';

interface TuneFlags extends CommonOptions, CalibrationFlags, JudgeFlags {
  readonly tolerance: number;
  readonly methods?: readonly string[];
  readonly bits?: readonly string[];
  readonly groupSizes?: readonly string[];
  readonly schemes?: readonly string[];
  readonly objective: 'latency' | 'size';
  readonly mode: 'default' | 'neural-compressor';
  readonly trials: number;
  readonly minutes?: number;
  readonly workers?: string;
  readonly parallel: number;
  readonly report?: readonly string[];
}

export function tune(output: Output): Command {
  const command = new Command('tune')
    .description('find the cheapest INT4 recipe that keeps a model within tolerance, and write that model')
    .argument('<model>', 'folder, .gguf file, hf:owner/name, or stories-llama-5m')
    .requiredOption('-o, --output <folder>', 'where to write the best model')
    .option('--tolerance <share>', 'the acceptable relative loss', share, 0.01)
    .option('--tasks <names>', 'judge by the mean accuracy on these tasks; comma between them', commaSeparated)
    .option('--data <path>', 'folder with the data sets of --tasks')
    .option('--limit <n>', 'only the first n documents of each task', wholeNumber(2))
    .option('--perplexity <file>', 'judge by the perplexity of a text file instead')
    .option(
      '--methods <names>',
      `of: ${methodNames.join(', ')} (default: those that need no calibration, or all with --calibration)`,
      commaSeparated,
    )
    .option('--bits <list>', 'default: 4', commaSeparated)
    .option('--group-sizes <list>', 'default: 128,64,32', commaSeparated)
    .option('--schemes <list>', 'default: sym,asym', commaSeparated)
    .addOption(choice('--objective <name>', 'what to make least', ['latency', 'size']).default('latency'))
    .addOption(choice('--mode <name>', 'how to search', ['default', 'neural-compressor']).default('default'))
    .option('--trials <n>', 'the most recipes to try', wholeNumber(1), 40)
    .option('--minutes <n>', 'the most minutes to take', wholeNumber(1))
    .option('-t, --threads <n>', 'threads', wholeNumber(1, 1024))
    .option(
      '--workers <redis>',
      'share trials out among llm tune-worker processes, by way of a Redis: redis://host:6379',
    )
    .option('--parallel <n>', 'trials that --workers are given at once', wholeNumber(1), 4)
    .option('--report <file>', '.html, .md or .json; may be given more than once', collect);
  return calibrationOptions(commonOptions(command))
    .addHelpText(
      'after',
      '\nAn interrupted run goes on where it stopped. The exit code is 1 if no recipe is within tolerance.\n\nExample:\n  llm tune ./llama-2-7b --tolerance 1% --tasks lambada,piqa --data ./data --report report.html -o ./llama-2-7b-auto',
    )
    .action(async (source: string, flags: TuneFlags) => {
      // Now, not after hours of work.
      for (const path of flags.report ?? []) rendererOf(path);
      using progress = new ProgressDisplay(output, flags.quiet ?? flags.json ?? false);
      const judge = await Judge.create(source, flags, progress.update);
      using interrupt = new InterruptSignal();
      await using workers =
        flags.workers === undefined
          ? undefined
          : await RedisWorkers.connect(flags.workers, source, judgeFlags(flags), flags.parallel);
      const numbers = (list: readonly string[] | undefined) => list?.map(Number);
      const result = await autoQuantize(modelSource(source), {
        evaluate: (target, request) => judge.evaluate(target, request),
        evaluation: judge.key,
        measure: (path, signal) => judge.measure(path, signal),
        ...toCalibration(flags),
        ...(workers ? { workers } : {}),
        tolerance: flags.tolerance,
        objective: flags.objective,
        mode: flags.mode,
        budget: { trials: flags.trials, ...(flags.minutes === undefined ? {} : { minutes: flags.minutes }) },
        output: flags.output,
        signal: interrupt.signal,
        onProgress: progress.update,
        onTrial: (trial) => {
          if (flags.quiet || flags.json) return;
          const loss = trial.relativeLoss === undefined ? '' : `, loss ${(trial.relativeLoss * 100).toFixed(2)} %`;
          output.note(`${trial.name}: ${trial.reason ?? trial.verdict}${loss}, ${bytes(trial.bytes)}`);
        },
        ...(flags.methods === undefined ? {} : { methods: flags.methods as readonly MethodName[] }),
        ...(flags.bits === undefined ? {} : { bits: numbers(flags.bits)! }),
        ...(flags.groupSizes === undefined ? {} : { groupSizes: numbers(flags.groupSizes)! }),
        ...(flags.schemes === undefined ? {} : { schemes: flags.schemes as readonly ('sym' | 'asym')[] }),
      });
      progress[Symbol.dispose]();
      const report = await describeRun(source, flags, result, judge);
      for (const path of flags.report ?? []) await writeFile(path, rendererOf(path)(report));
      output.write(flags.json ? tuneJson(report) : tuneMarkdown(report));
      if (!flags.quiet && !flags.json) output.note(`${result.output} written in ${duration(result.seconds)}`);
      if (!result.passed) throw new GateError('no recipe is within tolerance; the closest was written');
    });
}

/** @throws InvalidOptionError for a name that says no kind of report */
function rendererOf(path: string): (report: TuneReport) => string {
  switch (extname(path)) {
    case '.html':
      return tuneHtml;
    case '.md':
      return tuneMarkdown;
    case '.json':
      return tuneJson;
    default:
      throw new InvalidOptionError('report', path, ['a file that ends in .html, .md or .json']);
  }
}

async function describeRun(source: string, flags: TuneFlags, result: TuneResult, judge: Judge): Promise<TuneReport> {
  const { isa } = cpuInfo();
  const threads = judge.threads;
  return {
    model: source,
    measure: judge.description,
    result,
    command: commandLine(source, flags),
    machine: `${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${isa}, ${count(threads, 'thread')}, Node ${process.version}`,
    readBandwidth: await probeReadBandwidth({ threads, bytes: 2 ** 29 }),
    date: new Date().toISOString().slice(0, 10),
  };
}

function commandLine(source: string, flags: TuneFlags): string {
  const parts = Object.entries(flags).flatMap(([name, value]) => {
    const flag = `--${name.replaceAll(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`;
    if (Array.isArray(value))
      return name === 'report' ? value.map((v) => `${flag} ${String(v)}`) : [`${flag} ${value.join(',')}`];
    return value === true ? [flag] : [`${flag} ${String(value)}`];
  });
  return ['llm tune', source, ...parts].join(' ');
}
