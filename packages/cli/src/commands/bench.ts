import { benchmarkModel, benchmarkSynthetic, type Benchmark, type BenchmarkOptions } from '@llm/runtime';
import { InvalidOptionError, threadPlan } from '@llm/tensor';
import { Command } from 'commander';
import { modelOptions, wholeNumber, type ModelOptions } from '../arguments.ts';
import { InterruptSignal } from '../interrupt.ts';
import { loadModel } from '../load-model.ts';
import type { Output } from '../output.ts';
import { ProgressDisplay } from '../progress.ts';
import { table } from '../table.ts';
import { bandwidth, bytes, percent } from '../units.ts';

interface BenchOptions extends ModelOptions {
  readonly synthetic?: string;
  readonly generate: number;
  readonly prompt: number;
  readonly rounds: number;
}

export function bench(output: Output): Command {
  const command = new Command('bench')
    .description('measure decode, prefill and small batches against the limits of this machine, probed in the same run')
    .argument('[model]', 'folder, .gguf file, hf:owner/name (default: stories-llama-5m)')
    .option('--synthetic <shape>', 'random weights in the shape of a published model, such as tinyllama-1.1b')
    .option('--generate <n>', 'tokens written per round', wholeNumber(2), 64)
    .option('--prompt <n>', 'tokens of the prompt', wholeNumber(1), 512)
    .option('--rounds <n>', 'rounds; the median and the spread are shown', wholeNumber(1), 3);
  return modelOptions(command)
    .addHelpText(
      'after',
      '\nExamples:\n  llm bench --synthetic tinyllama-1.1b --threads 1 --group-size 128\n  llm bench ./my-model-int4 --json',
    )
    .action(async (source: string | undefined, options: BenchOptions) => {
      if (source !== undefined && options.synthetic !== undefined)
        throw new InvalidOptionError('synthetic', options.synthetic, ['a model or --synthetic, not both']);
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
      const result = options.synthetic
        ? await synthetic(options.synthetic, options, threads, settings)
        : await real(source ?? 'stories-llama-5m', { ...options, threads }, output, settings, interrupt.signal);
      progress[Symbol.dispose]();
      output.write(options.json ? JSON.stringify(result, null, 2) : describe(result));
    });
}

function synthetic(
  shape: string,
  options: BenchOptions,
  threads: number,
  settings: BenchmarkOptions,
): Promise<Benchmark> {
  return benchmarkSynthetic(shape, {
    ...settings,
    threads,
    ...(options.groupSize === undefined ? {} : { groupSize: options.groupSize }),
    ...(options.compute === undefined ? {} : { compute: options.compute }),
    ...(options.context === undefined ? {} : { contextLength: options.context }),
    ...(options.kvCache === undefined ? {} : { cacheType: options.kvCache }),
  });
}

async function real(
  source: string,
  options: BenchOptions & { readonly threads: number },
  output: Output,
  settings: BenchmarkOptions,
  signal: AbortSignal,
): Promise<Benchmark> {
  await using model = await loadModel(source, { ...options, quiet: true }, output, signal);
  return await benchmarkModel(model, options.threads, settings);
}

function describe({ machine, limits, decode, prefill, smallBatch }: Benchmark): string {
  const range = ({ min, max }: { min: number; max: number }, format: (value: number) => string) =>
    `${format(min)} .. ${format(max)}`;
  const rate = (value: number): string => value.toFixed(1);
  const tera = (value: number): string => `${(value / 1e12).toFixed(3)} TOPS`;
  const ratio = (value: number): string => `${value.toFixed(2)} x`;
  const streamed = (tokensPerSecond: number): string => bandwidth(tokensPerSecond * decode.bytesPerToken);
  return [
    `${machine.isa}, ${machine.threads} ${machine.threads === 1 ? 'thread' : 'threads'}; ${bytes(decode.bytesPerToken)} of weights per token`,
    table([
      ['', 'median', 'range'],
      ['read bandwidth (probe)', bandwidth(limits.readBandwidth.median), range(limits.readBandwidth, bandwidth)],
      ['integer peak (probe)', tera(limits.integerPeak.median), range(limits.integerPeak, tera)],
      ['decode, tokens/s', rate(decode.tokensPerSecond.median), range(decode.tokensPerSecond, rate)],
      ['decode, weights read', streamed(decode.tokensPerSecond.median), range(decode.tokensPerSecond, streamed)],
      [
        '  of read bandwidth',
        percent(decode.fractionOfReadBandwidth.median),
        range(decode.fractionOfReadBandwidth, percent),
      ],
      [
        `prefill of ${prefill.tokens}, tokens/s`,
        rate(prefill.tokensPerSecond.median),
        range(prefill.tokensPerSecond, rate),
      ],
      [
        '  of integer peak',
        percent(prefill.fractionOfIntegerPeak.median),
        range(prefill.fractionOfIntegerPeak, percent),
      ],
      ...smallBatch.map(({ rows, timeRatio }) => [
        `step of ${rows} tokens / of 1`,
        ratio(timeRatio.median),
        range(timeRatio, ratio),
      ]),
    ]),
  ].join('\n');
}
