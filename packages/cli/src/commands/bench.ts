import { writeFile } from 'node:fs/promises';
import {
  benchmarkKernels,
  benchmarkProgram,
  saveSynthetic,
  syntheticProgram,
  type Benchmark,
  type BenchmarkOptions,
} from '@llm/runtime';
import { chromeTrace, InvalidOptionError, threadPlan, type InstructionProfile, type Program } from '@llm/tensor';
import { Command } from 'commander';
import { collect, commaSeparated, modelOptions, wholeNumber, type ModelOptions } from '../arguments.ts';
import { runArticle, type ArticleFlags } from '../article-command.ts';
import { InterruptSignal } from '../interrupt.ts';
import { kernelReport } from '../kernel-report.ts';
import { loadModel } from '../load-model.ts';
import type { Output } from '../output.ts';
import { ProgressDisplay } from '../progress.ts';
import { rooflinePlot } from '../roofline.ts';
import { table } from '../table.ts';
import { bandwidth, bytes, count, percent } from '../units.ts';

interface BenchOptions extends ModelOptions, ArticleFlags {
  readonly synthetic?: string;
  readonly save?: string;
  readonly generate: number;
  readonly prompt: number;
  readonly rounds: number;
  readonly profile?: true;
  readonly trace?: string;
  readonly kernels?: true;
  readonly full?: true;
  readonly isas?: string[];
  readonly formats?: string[];
  readonly shapes?: string[];
  readonly rows?: string[];
  readonly plot?: string;
}

export function bench(output: Output): Command {
  const command = new Command('bench')
    .description('measure decode, prefill and small batches against the limits of this machine, probed in the same run')
    .argument('[model]', 'folder, .gguf file, hf:owner/name (default: stories-llama-5m)')
    .option('--synthetic <shape>', 'random weights in the shape of a published model, such as tinyllama-1.1b')
    .option('--save <folder>', 'write the synthetic model as a packed folder, and measure that')
    .option('--generate <n>', 'tokens written per round', wholeNumber(2), 64)
    .option('--prompt <n>', 'tokens of the prompt', wholeNumber(1), 512)
    .option('--rounds <n>', 'rounds; the median and the spread are shown', wholeNumber(1), 3)
    .option('--profile', 'also show where the time goes, instruction by instruction')
    .option('--trace <file>', 'write the last steps, thread by thread, for a browser’s tracing page')
    .option(
      '--article',
      'milliseconds per token, 32 in and 32 out, in groups of 32 and 128, as in Table 3 of the article',
    )
    .option('--llama-bench <program>', 'with --article: measure llama.cpp too, with the files of --gguf')
    .option('--gguf <shape=file>', 'a file for --llama-bench; may be given more than once', collect)
    .option('--report <file>', 'with --article: write the table, .md or .json; may be given more than once', collect)
    .option('--kernels', 'measure every kernel by itself instead of a model, on layers of published models')
    .option('--full', 'with --kernels: every format, table and shape, which takes hours')
    .option('--isas <names>', 'with --kernels: these tables only, comma-separated', commaSeparated)
    .option('--formats <names>', 'with --kernels: these weight and cache formats only', commaSeparated)
    .option('--shapes <names>', 'with --kernels: these layers only; with --article: these models', commaSeparated)
    .option('--rows <numbers>', 'with --kernels: these numbers of rows', commaSeparated)
    .option('--plot <file>', 'with --kernels: also write a roofline plot (SVG)');
  return modelOptions(command)
    .addHelpText(
      'after',
      '\nExamples:\n  llm bench --synthetic tinyllama-1.1b --threads 1 --group-size 128\n  llm bench ./my-model-int4 --json\n  llm bench --kernels --threads 1 --plot roofline.svg',
    )
    .action(async (source: string | undefined, options: BenchOptions) => {
      if (source !== undefined && options.synthetic !== undefined)
        throw new InvalidOptionError('synthetic', options.synthetic, ['a model or --synthetic, not both']);
      if (options.save !== undefined && options.synthetic === undefined)
        throw new InvalidOptionError('save', options.save, ['with --synthetic only']);
      refuseStrayFlags(options);
      if (options.kernels) {
        await benchKernels(source, options, output);
        return;
      }
      if (options.article) {
        await runArticle(source ?? options.synthetic, options, output);
        return;
      }
      using interrupt = new InterruptSignal();
      using progress = new ProgressDisplay(output, options.quiet ?? options.json ?? false);
      const threads = options.threads ?? threadPlan().threads;
      const settings: BenchmarkOptions = {
        generate: options.generate,
        prompt: options.prompt,
        rounds: options.rounds,
        signal: interrupt.signal,
        onProgress: progress.update,
      };
      if (options.save !== undefined && options.synthetic !== undefined)
        await saveSynthetic(options.synthetic, options.save, {
          ...(options.groupSize === undefined ? {} : { groupSize: options.groupSize }),
          signal: interrupt.signal,
          onProgress: progress.update,
        });
      const measured = await (options.synthetic === undefined || options.save !== undefined
        ? withModel(
            options.save ?? source ?? 'stories-llama-5m',
            { ...options, threads },
            output,
            interrupt.signal,
            measure,
          )
        : withSynthetic(options.synthetic, { ...options, threads }, measure));
      progress[Symbol.dispose]();
      if (options.trace !== undefined) await writeFile(options.trace, measured.trace);
      const { result, profile } = measured;
      if (options.json) output.write(JSON.stringify(options.profile ? { ...result, profile } : result, null, 2));
      else output.write([describe(result), ...(options.profile ? ['', describeProfile(profile)] : [])].join('\n'));

      async function measure(program: Program): Promise<Measured> {
        const result = await benchmarkProgram(program, threads, settings);
        return {
          result,
          profile: program.profile(),
          trace: options.trace === undefined ? '' : chromeTrace(program.trace()),
        };
      }
    });
}

async function benchKernels(source: string | undefined, options: BenchOptions, output: Output): Promise<void> {
  const model = source ?? options.synthetic;
  if (model !== undefined) throw new InvalidOptionError('kernels', model, ['--kernels alone: it measures no model']);
  using interrupt = new InterruptSignal();
  using progress = new ProgressDisplay(output, options.quiet ?? options.json ?? false);
  const measured = await benchmarkKernels({
    threads: options.threads ?? threadPlan().threads,
    full: options.full ?? false,
    ...(options.isas ? { isas: options.isas } : {}),
    ...(options.formats ? { formats: options.formats } : {}),
    ...(options.shapes ? { shapes: options.shapes } : {}),
    ...(options.rows ? { rows: options.rows.map(wholeNumber(1)) } : {}),
    signal: interrupt.signal,
    onProgress: progress.update,
  });
  progress[Symbol.dispose]();
  if (options.plot !== undefined) await writeFile(options.plot, rooflinePlot(measured));
  output.write(options.json ? JSON.stringify(measured, null, 2) : kernelReport(measured));
}

/** No flag is ignored in silence: each belongs to the measurements that look at it. */
function refuseStrayFlags(options: BenchOptions): void {
  const { full, isas, formats, rows, plot, shapes, llamaBench, gguf, report, profile, trace } = options;
  const refuse = (
    flags: Readonly<Record<string, string | true | readonly string[] | undefined>>,
    allowed: string,
  ): void => {
    for (const [name, value] of Object.entries(flags))
      if (value !== undefined) throw new InvalidOptionError(name, String(value), [allowed]);
  };
  if (!options.kernels) refuse({ full, isas, formats, rows, plot }, 'with --kernels only');
  if (!options.article) refuse({ 'llama-bench': llamaBench, gguf, report }, 'with --article only');
  if (options.kernels) refuse({ article: options.article }, 'one of --kernels and --article');
  if (!options.kernels && !options.article) refuse({ shapes }, 'with --kernels or --article only');
  else refuse({ save: options.save, profile, trace }, 'without --kernels and --article only');
  if (options.kernels || options.article || options.synthetic !== undefined)
    refuse({ cache: options.cache }, 'with a model only');
}

interface Measured {
  readonly result: Benchmark;
  readonly profile: readonly InstructionProfile[];
  /** What a browser's tracing page opens. */
  readonly trace: string;
}

type Measure = (program: Program) => Promise<Measured>;
type BenchWithThreads = BenchOptions & { readonly threads: number };

async function withSynthetic(shape: string, options: BenchWithThreads, measure: Measure): Promise<Measured> {
  const { program, weights } = syntheticProgram(shape, {
    threads: options.threads,
    prompt: options.prompt,
    ...watching(options),
    ...(options.groupSize === undefined ? {} : { groupSize: options.groupSize }),
    ...(options.compute === undefined ? {} : { compute: options.compute }),
    ...(options.context === undefined ? {} : { contextLength: options.context }),
    ...(options.kvCache === undefined ? {} : { cacheType: options.kvCache }),
  });
  try {
    return await measure(program);
  } finally {
    await program.dispose();
    weights[Symbol.dispose]();
  }
}

async function withModel(
  source: string,
  options: BenchWithThreads,
  output: Output,
  signal: AbortSignal,
  measure: Measure,
): Promise<Measured> {
  await using model = await loadModel(source, { ...options, quiet: true }, output, signal, watching(options));
  return await measure(model.program);
}

function watching(options: BenchOptions): { profile?: boolean; trace?: boolean } {
  return { ...(options.profile ? { profile: true } : {}), ...(options.trace === undefined ? {} : { trace: true }) };
}

/** Instructions by the time that they took, those of the same kind in all layers together. */
function describeProfile(profile: readonly InstructionProfile[]): string {
  const kinds = new Map<string, { seconds: number; count: number }>();
  for (const { name, seconds } of profile) {
    const kind = name.replaceAll(/\.\d+\./g, '.*.').replaceAll(/\b\d+\b/g, '*');
    const sum = kinds.get(kind) ?? { seconds: 0, count: 0 };
    kinds.set(kind, { seconds: sum.seconds + seconds, count: sum.count + 1 });
  }
  const total = profile.reduce((sum, { seconds }) => sum + seconds, 0);
  const rows = [...kinds].sort(([, a], [, b]) => b.seconds - a.seconds);
  return table([
    ['instruction', 'in all', 'share', 'of them'],
    ...rows.map(([name, { seconds, count }]) => [
      name,
      `${seconds.toFixed(3)} s`,
      percent(seconds / total),
      String(count),
    ]),
  ]);
}

function describe({ machine, decode, prefill, smallBatch, spread }: Benchmark): string {
  const range = ({ min, max }: { min: number; max: number }, format: (value: number) => string) =>
    `${format(min)} .. ${format(max)}`;
  const rate = (value: number): string => value.toFixed(1);
  const tera = (value: number): string => `${(value / 1e12).toFixed(3)} TOPS`;
  const ratio = (value: number): string => `${value.toFixed(2)} x`;
  const streamed = (tokensPerSecond: number): string => bandwidth(tokensPerSecond * decode.bytesPerToken);
  return [
    `${machine.isa}, ${count(machine.threads, 'thread')}; ${bytes(decode.bytesPerToken)} of weights per token`,
    table([
      ['', 'median', 'range'],
      ['read bandwidth (probe)', bandwidth(spread.readBandwidth.median), range(spread.readBandwidth, bandwidth)],
      ['integer peak (probe)', tera(spread.integerPeak.median), range(spread.integerPeak, tera)],
      ['decode, tokens/s', rate(decode.tokensPerSecond.median), range(decode.tokensPerSecond, rate)],
      ['decode, weights read', streamed(decode.tokensPerSecond.median), range(decode.tokensPerSecond, streamed)],
      [
        '  of read bandwidth',
        percent(spread.fractionOfReadBandwidth.median),
        range(spread.fractionOfReadBandwidth, percent),
      ],
      [
        `prefill of ${prefill.tokens}, tokens/s`,
        rate(prefill.tokensPerSecond.median),
        range(prefill.tokensPerSecond, rate),
      ],
      ['  of integer peak', percent(spread.fractionOfIntegerPeak.median), range(spread.fractionOfIntegerPeak, percent)],
      ...smallBatch.map(({ rows, timeRatio }, i) => [
        `step of ${rows} tokens / of 1`,
        ratio(timeRatio),
        range(spread.timeRatios[i]!, ratio),
      ]),
    ]),
  ].join('\n');
}
