import { checkOptions, InvalidArgumentError, InvalidOptionError } from '@llm/tensor';
import { existsSync } from 'node:fs';

import { loadCheckpoint } from '../open-checkpoint.ts';
import { report, type ConversionReport } from './report.ts';
import { convertToFolder, type FolderTarget } from './to-folder.ts';
import { convertToGguf } from './to-gguf.ts';

export type ConversionTarget = FolderTarget | 'gguf';

export interface ConversionOptions {
  /**
   * How weights that are dense now are written. GGUF: `F32`, `F16` (default), `Q8_0`, `Q4_0` or `Q4_1`, by ggml's own rounding.
   * safetensors: `F32`, `F16` or `BF16`; default as they are, and `F16` for those that were quantized.
   */
  readonly type?: 'F32' | 'F16' | 'BF16' | 'Q8_0' | 'Q4_0' | 'Q4_1';
  readonly signal?: AbortSignal;
  /** Counts bytes written. */
  readonly onProgress?: (progress: { readonly stage: string; readonly done: number; readonly total: number }) => void;
}

const targets: readonly ConversionTarget[] = ['gguf', 'gptq', 'awq', 'compressed-tensors', 'safetensors', 'packed'];

/**
 * Writes a model in another format. Weights on an integer grid stay the same integers where the target has the grid; the report
 * tells of every weight whether that was so, or the largest error. `gptq` (version 2), `awq` and `compressed-tensors` take
 * weights that are quantized already; the others take all.
 * @param source - what `openCheckpoint` takes
 * @param output - a file for `gguf`, a folder for the others; it must not exist, and appears when it is complete
 */
export async function convert(
  source: string,
  output: string,
  options: ConversionOptions & { readonly to: ConversionTarget },
): Promise<ConversionReport> {
  checkOptions(options, ['to', 'type', 'signal', 'onProgress'], 'convert()');
  const { to, ...rest } = options;
  if (!targets.includes(to)) throw new InvalidOptionError('to', to, targets);
  const types = to === 'gguf' ? ['F32', 'F16', 'Q8_0', 'Q4_0', 'Q4_1'] : ['F32', 'F16', 'BF16'];
  if (rest.type !== undefined && !types.includes(rest.type)) throw new InvalidOptionError('type', rest.type, types);
  if (existsSync(output))
    throw new InvalidArgumentError(`${output} exists already. Choose another output, or remove it.`);
  using checkpoint = await loadCheckpoint(source, rest.signal ? { signal: rest.signal } : {});
  const weights = await (to === 'gguf'
    ? convertToGguf(checkpoint, output, rest)
    : convertToFolder(checkpoint, output, to, rest));
  return report(output, weights);
}
