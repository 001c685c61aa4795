import { Model, type LoadOptions } from '@llm/runtime';
import type { ModelOptions } from './arguments.ts';
import type { Output } from './output.ts';
import { ProgressDisplay } from './progress.ts';
import { modelSource } from './shipped-models.ts';

/** The options that were given, in the runtime's terms. */
export function toLoadOptions(options: ModelOptions): LoadOptions {
  return {
    ...(options.weights === undefined ? {} : { weights: options.weights }),
    ...(options.groupSize === undefined ? {} : { groupSize: options.groupSize }),
    ...(options.compute === undefined ? {} : { compute: options.compute }),
    ...(options.threads === undefined ? {} : { threads: options.threads }),
    ...(options.context === undefined ? {} : { contextLength: options.context }),
    ...(options.kvCache === undefined ? {} : { kvCache: { type: options.kvCache } }),
    ...(options.cache === undefined ? {} : { cache: true }),
  };
}

/** Loads a model as the command's options say, with progress. */
export async function loadModel(
  source: string,
  options: ModelOptions,
  output: Output,
  signal: AbortSignal,
  more: LoadOptions = {},
): Promise<Model> {
  using progress = new ProgressDisplay(output, options.quiet ?? options.json ?? false);
  return await Model.load(modelSource(source), {
    ...toLoadOptions(options),
    ...more,
    signal,
    onProgress: progress.update,
  });
}
