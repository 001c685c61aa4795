import { writeFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { articleShapes } from '@llm/runtime';
import { InvalidOptionError, threadPlan } from '@llm/tensor';
import type { ModelOptions } from './arguments.ts';
import { articleBench, articleMarkdown, shapeFile } from './article-bench.ts';
import { InterruptSignal } from './interrupt.ts';
import type { Output } from './output.ts';
import { ProgressDisplay } from './progress.ts';

/** The flags of `llm bench --article`. */
export interface ArticleFlags extends ModelOptions {
  readonly article?: true;
  readonly shapes?: readonly string[];
  readonly rounds: number;
  readonly llamaBench?: string;
  readonly gguf?: readonly string[];
  readonly report?: readonly string[];
}

/**
 * `llm bench --article`.
 * @param model - that was named on the command line, by mistake
 */
export async function runArticle(model: string | undefined, flags: ArticleFlags, output: Output): Promise<void> {
  if (model !== undefined)
    throw new InvalidOptionError('article', model, ['--article alone, with --shapes: it measures models of its own']);
  const written = (flags.report ?? []).map((path) => ({ path, kind: extname(path) }));
  for (const { path, kind } of written)
    if (kind !== '.md' && kind !== '.json')
      throw new InvalidOptionError('report', path, ['a file that ends in .md or .json']);
  using interrupt = new InterruptSignal();
  using progress = new ProgressDisplay(output, flags.quiet ?? flags.json ?? false);
  const result = await articleBench({
    shapes: flags.shapes ?? articleShapes,
    groupSizes: flags.groupSize === undefined ? [32, 128] : [flags.groupSize],
    threads: flags.threads ?? threadPlan().threads,
    rounds: flags.rounds,
    ...(flags.llamaBench === undefined ? {} : { llamaBench: flags.llamaBench }),
    gguf: new Map((flags.gguf ?? []).map(shapeFile)),
    signal: interrupt.signal,
    onProgress: progress.update,
  });
  progress[Symbol.dispose]();
  const json = JSON.stringify(result, null, 2);
  const markdown = articleMarkdown(result);
  for (const { path, kind } of written) await writeFile(path, `${kind === '.json' ? json : markdown}\n`);
  output.write(flags.json ? json : markdown);
}
