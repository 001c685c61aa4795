import { readFile } from 'node:fs/promises';
import { InvalidOptionError } from '@llm/tensor';
import { CalibrationError } from '../errors.ts';
import { randomSource } from '../random.ts';

/** A text, or the ids of its tokens. */
export type Document = string | readonly number[] | Int32Array;

/**
 * Where calibration text comes from: a file (.txt: one document, cut anywhere; .jsonl: one per line, the field `text`, or `tokens`
 * with ids), documents, or anything that yields them.
 */
export type DocumentSource = string | Iterable<Document> | AsyncIterable<Document>;

export interface SequenceOptions {
  /** Sequences to draw; default 128. */
  readonly samples?: number;
  /** Tokens in each; default 256. */
  readonly length?: number;
  /** Of the draw; default 0. */
  readonly seed?: number;
  readonly signal?: AbortSignal;
}

/** Turns text into token ids, as the model's tokenizer does for a document of its own. */
export type Encode = (text: string) => readonly number[] | Int32Array;

/** Characters of a text file that are encoded at a time: tokenizers slow down on very long texts. */
const TEXT_PART = 2 ** 16;

/** Tokens kept in memory to draw from, per token drawn. */
const RESERVE = 8;

/**
 * Draws sequences of tokens. Documents are joined to one stream (short ones are not lost) and the stream is cut into sequences,
 * of which a seeded draw takes as many as asked for. The same source, options and seed give the same sequences.
 * @throws CalibrationError if there is less than one sequence
 */
export async function drawSequences(
  source: DocumentSource,
  encode: Encode,
  options: SequenceOptions = {},
): Promise<Int32Array[]> {
  const { samples = 128, length = 256, seed = 0, signal } = options;
  if (!Number.isInteger(samples) || samples < 1)
    throw new InvalidOptionError('samples', String(samples), ['1 or more']);
  if (!Number.isInteger(length) || length < 2) throw new InvalidOptionError('length', String(length), ['2 or more']);

  // Reservoir sampling over the cut stream: one pass, bounded memory, every sequence equally likely.
  const random = randomSource(seed);
  const drawn: { readonly order: number; readonly tokens: Int32Array }[] = [];
  let current = new Int32Array(length);
  let filled = 0;
  let seen = 0;
  for await (const document of documentsOf(source)) {
    signal?.throwIfAborted();
    const ids = typeof document === 'string' ? encode(document) : document;
    for (const id of ids) {
      current[filled++] = id;
      if (filled < length) continue;
      const place = seen < samples ? seen : Math.floor(random() * (seen + 1));
      if (place < samples) drawn[place] = { order: seen, tokens: current };
      seen++;
      current = new Int32Array(length);
      filled = 0;
    }
    if (seen >= samples * RESERVE) break;
  }
  if (seen === 0)
    throw new CalibrationError(
      `The calibration text has ${filled} tokens, and one sequence takes ${length}. Give more text, or shorter sequences.`,
    );
  // In the order of the text, so that a draw of everything is the text itself.
  return drawn.toSorted((a, b) => a.order - b.order).map(({ tokens }) => tokens);
}

async function* documentsOf(source: DocumentSource): AsyncGenerator<Document> {
  if (typeof source !== 'string') {
    for await (const document of source) yield document;
    return;
  }
  const text = await readFile(source, 'utf8').catch((error: unknown) => {
    throw new CalibrationError(`${source} cannot be read: ${String(error)}`, { cause: error });
  });
  if (/\.(jsonl|ndjson)$/.test(source)) yield* jsonLines(source, text);
  else for (let at = 0; at < text.length; at += TEXT_PART) yield text.slice(at, at + TEXT_PART);
}

function* jsonLines(path: string, text: string): Generator<Document> {
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const record = parse(line);
    if (typeof record?.text === 'string') yield record.text;
    else if (Array.isArray(record?.tokens) && record.tokens.every(Number.isInteger)) yield record.tokens as number[];
    else
      throw new CalibrationError(
        `${path}, line ${index + 1}: an object with "text" (a string) or "tokens" (integers) was expected.`,
      );
  }
}

function parse(line: string): { readonly text?: unknown; readonly tokens?: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
