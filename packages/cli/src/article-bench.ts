import { execFile } from 'node:child_process';
import { freemem } from 'node:os';
import { basename } from 'node:path';
import { promisify } from 'node:util';
import { benchmarkArticle, type ArticleBenchmark, type ArticleBenchmarkOptions, type Turn } from '@llm/runtime';
import { InvalidOptionError } from '@llm/tensor';
import { BenchToolError } from './bench-tool-error.ts';
import { bytes, count, percent } from './units.ts';

export interface ArticleBenchOptions extends Omit<ArticleBenchmarkOptions, 'freeMemory' | 'afterShape'> {
  /** llama.cpp's own benchmark program. */
  readonly llamaBench?: string;
  /** Files for it, by shape. */
  readonly gguf?: ReadonlyMap<string, string>;
}

/** What llama-bench says about a file of a shape. Milliseconds. */
export interface LlamaBenchRow {
  readonly shape: string;
  readonly file: string;
  readonly firstToken: number;
  readonly nextToken: number;
}

export interface ArticleBench extends ArticleBenchmark {
  readonly llamaCpp: readonly LlamaBenchRow[];
}

/** The article's table, of what memory has room for, with llama.cpp beside it where there is a file. */
export async function articleBench({ llamaBench, gguf, ...options }: ArticleBenchOptions): Promise<ArticleBench> {
  const { prompt = 32, generate = 32 } = options;
  const llamaCpp: LlamaBenchRow[] = [];
  const result = await benchmarkArticle({
    ...options,
    freeMemory: freemem,
    afterShape: async (shape) => {
      const file = gguf?.get(shape);
      if (llamaBench !== undefined && file !== undefined)
        llamaCpp.push(await runLlamaBench(llamaBench, shape, file, { ...options, prompt, generate }));
    },
  });
  return { ...result, llamaCpp };
}

/** The fields of a line of `llama-bench -o json` that are used; the others are left alone. */
interface LlamaBenchEntry {
  readonly n_prompt: number;
  readonly n_gen: number;
  /** Tokens per second. */
  readonly avg_ts: number;
}

/** @throws {@link BenchToolError} if it cannot be run or says something else than its JSON */
async function runLlamaBench(
  program: string,
  shape: string,
  file: string,
  { prompt, generate, threads, rounds = 3, signal }: ArticleBenchOptions & { prompt: number; generate: number },
): Promise<LlamaBenchRow> {
  const args = ['-m', file, '-t', threads, '-p', prompt, '-n', generate, '-r', rounds, '-ngl', 0, '-o', 'json'];
  let text: string;
  try {
    ({ stdout: text } = await promisify(execFile)(program, args.map(String), {
      maxBuffer: 2 ** 24,
      ...(signal ? { signal } : {}),
    }));
  } catch (cause) {
    signal?.throwIfAborted();
    throw new BenchToolError(program, cause);
  }
  return { shape, file: basename(file), ...readLlamaBench(program, text, prompt, generate) };
}

/** Times out of what `llama-bench -o json` printed. @throws {@link BenchToolError} */
export function readLlamaBench(
  program: string,
  text: string,
  prompt: number,
  generate: number,
): Pick<LlamaBenchRow, 'firstToken' | 'nextToken'> {
  let entries: unknown;
  try {
    entries = JSON.parse(text);
  } catch (cause) {
    throw new BenchToolError(program, cause);
  }
  const list: readonly unknown[] = Array.isArray(entries) ? entries : [];
  const rate = (nPrompt: number, nGen: number): number => {
    const found = list
      .map((entry) => (entry ?? {}) as Partial<LlamaBenchEntry>)
      .find((entry) => entry.n_prompt === nPrompt && entry.n_gen === nGen);
    const value = Number(found?.avg_ts);
    if (!(value > 0)) throw new BenchToolError(program, new Error(`no rate for ${nPrompt} tokens in and ${nGen} out`));
    return value;
  };
  return { firstToken: (prompt / rate(prompt, 0)) * 1000, nextToken: 1000 / rate(0, generate) };
}

/** As Markdown. llama.cpp's first token is its prompt alone, without the choice of a token. */
export function articleMarkdown({ machine, prompt, generate, rows, llamaCpp }: ArticleBench): string {
  const milliseconds = ({ median, min, max }: Turn['nextToken']): string =>
    `${median.toFixed(1)} (${min.toFixed(1)} .. ${max.toFixed(1)})`;
  const other = llamaCpp.length > 0;
  const head = ['shape', 'group', 'GB per token', 'first token, ms', 'next token, ms', 'of read bandwidth'];
  const lines = rows.map(({ shape, groupSize, turn, skipped }) => {
    const known = llamaCpp.find((row) => row.shape === shape);
    const cells = turn
      ? [
          (turn.bytesPerToken / 1e9).toFixed(2),
          milliseconds(turn.firstToken),
          milliseconds(turn.nextToken),
          percent(turn.fractionOfReadBandwidth.median),
        ]
      : [skipped ? `needs ${bytes(skipped.needed)} of memory; ${bytes(skipped.free)} are free` : '', '', '', ''];
    const beside = known ? [known.firstToken.toFixed(1), known.nextToken.toFixed(1), known.file] : ['', '', ''];
    return [shape, String(groupSize), ...cells, ...(other ? beside : [])];
  });
  const title = [...head, ...(other ? ['llama.cpp first, ms', 'llama.cpp next, ms', 'its file'] : [])];
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    `${prompt} tokens in, ${generate} out; random weights in 4 bits, symmetric, head and embedding too, int8 arithmetic; ${machine.isa}, ${count(machine.threads, 'thread')}, Node ${machine.node}. Median (least .. greatest) of the rounds.`,
    '',
    line(title),
    line(title.map(() => '---')),
    ...lines.map(line),
  ].join('\n');
}

/** "llama-2-7b=file.gguf" */
export function shapeFile(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at <= 0 || at === text.length - 1)
    throw new InvalidOptionError('gguf', text, ['shape=file, such as llama-2-7b=llama-2-7b.Q4_0.gguf']);
  return [text.slice(0, at), text.slice(at + 1)];
}
