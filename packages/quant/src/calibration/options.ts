import type { Checkpoint } from '@llm/models';
import { checkOptions } from '@llm/tensor';
import { drawSequences, type DocumentSource, type SequenceOptions } from './sequences.ts';

/** The text that calibrated methods listen to. */
export interface CalibrationOptions {
  readonly documents: DocumentSource;
  /** Sequences; default 128. */
  readonly samples?: number;
  /** Tokens in each; default 256. */
  readonly length?: number;
  /** Of the draw; default 0. */
  readonly seed?: number;
}

/** Draws the sequences with the model's own tokenizer. */
export async function calibrationSequences(
  checkpoint: Checkpoint,
  options: CalibrationOptions,
  signal?: AbortSignal,
): Promise<Int32Array[]> {
  checkOptions(options, ['documents', 'samples', 'length', 'seed'], 'calibration');
  const { documents, ...rest } = options;
  const draw: SequenceOptions = { ...rest, ...(signal && { signal }) };
  // Token ids need no tokenizer, and a model may have none.
  let tokenizer: Awaited<ReturnType<Checkpoint['tokenizer']>> | undefined;
  if (typeof documents === 'string' || !Array.isArray(documents) || typeof documents[0] === 'string')
    tokenizer = await checkpoint.tokenizer();
  return drawSequences(documents, (text) => tokenizer?.encode(text) ?? [], draw);
}
