import { cpuInfo } from '@llm/tensor';
import { syntheticProgram } from './benchmark.ts';
import { measureTurn, syntheticBytes, type Turn, type TurnOptions } from './turn.ts';

export interface ArticleBenchmarkOptions extends TurnOptions {
  readonly shapes: readonly string[];
  readonly groupSizes: readonly number[];
  readonly threads: number;
  /** Bytes that there are for weights, asked for before each row; what needs more is not measured. Default: no limit. */
  readonly freeMemory?: () => number;
  /** Called after the rows of each shape, for what is to be measured beside them at the same time. */
  readonly afterShape?: (shape: string) => Promise<void>;
}

/** One line of the table. */
export interface ArticleRow {
  readonly shape: string;
  readonly groupSize: number;
  /** Undefined where the machine has too little memory. */
  readonly turn?: Turn;
  /** Bytes, where it has too little. */
  readonly skipped?: { readonly needed: number; readonly free: number };
}

export interface ArticleBenchmark {
  readonly machine: { readonly isa: string; readonly threads: number; readonly node: string };
  readonly prompt: number;
  readonly generate: number;
  readonly rows: readonly ArticleRow[];
}

/** What a program takes beside its weights: the cache and the buffers of a short turn. */
const overhead = 1.05;

/**
 * Table 3 of "Efficient LLM Inference on CPUs" (Shen et al., 2023) on this machine: 32 tokens in, 32 out, milliseconds per token,
 * on random weights of the models' shapes; head and embedding in 4 bits, as there.
 * @throws InvalidOptionError for a shape that there is not
 */
export async function benchmarkArticle(options: ArticleBenchmarkOptions): Promise<ArticleBenchmark> {
  const { shapes, groupSizes, threads, freeMemory, afterShape, prompt = 32, generate = 32, ...rest } = options;
  const rows: ArticleRow[] = [];
  for (const shape of shapes) {
    for (const groupSize of groupSizes) {
      options.signal?.throwIfAborted();
      const needed = syntheticBytes(shape, groupSize) * overhead;
      const free = freeMemory?.() ?? Infinity;
      if (needed > free) rows.push({ shape, groupSize, skipped: { needed, free } });
      else
        rows.push({ shape, groupSize, turn: await measure(shape, groupSize, threads, { ...rest, prompt, generate }) });
    }
    await afterShape?.(shape);
  }
  return { machine: { isa: cpuInfo().isa, threads, node: process.version }, prompt, generate, rows };
}

async function measure(
  shape: string,
  groupSize: number,
  threads: number,
  options: TurnOptions & { readonly prompt: number; readonly generate: number },
): Promise<Turn> {
  const { prompt, generate, onProgress } = options;
  const { program, weights } = syntheticProgram(shape, {
    threads,
    groupSize,
    prompt,
    contextLength: prompt + generate,
  });
  try {
    return await measureTurn(program, threads, {
      ...options,
      ...(onProgress && {
        onProgress: ({ done, total }) => {
          onProgress({ stage: `${shape} g${groupSize}`, done, total });
        },
      }),
    });
  } finally {
    await program.dispose();
    weights[Symbol.dispose]();
  }
}
