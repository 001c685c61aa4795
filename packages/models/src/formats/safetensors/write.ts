import { LlmError } from '@llm/tensor';

import { elementBytes, elementCount, type ElementType } from '../../number-formats.ts';
import { writeAtomically } from '../atomic-file.ts';

/** One tensor to write. `data` is asked for its bytes only when it is its turn. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  /** Little-endian, row-major; in as many pieces as suit the producer, who may use their memory again for the next one. */
  readonly data: () => TensorBytes | Promise<TensorBytes>;
  /** Called when the entry before is about to be written: what may be made meanwhile. */
  readonly prepare?: () => void;
}

export type TensorBytes = Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

export interface WriteSafetensorsOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  /** Stops between pieces, rejects with the signal's reason and leaves no file. */
  readonly signal?: AbortSignal;
  /** Bytes of tensor data. */
  readonly onProgress?: (progress: { readonly stage: string; readonly done: number; readonly total: number }) => void;
}

/** Data starts at a multiple of this, and so do all tensors whose size is one: packed weights can be used where they lie. */
const ALIGNMENT = 64;

/**
 * Writes a safetensors file in bounded memory; it appears under its name when it is complete. Tensors whose size is a multiple
 * of 64 bytes come first, the others follow by falling element size: so everything is aligned and there are no holes.
 * Throws `WriteError` where the system refuses, and `LlmError` where an entry's data do not fit its shape.
 */
export async function writeSafetensors(
  path: string,
  entries: Iterable<SafetensorsEntry>,
  options: WriteSafetensorsOptions = {},
): Promise<void> {
  const planned = plan(entries);
  const total = planned.at(-1)?.end ?? 0;
  let done = 0;
  await writeAtomically(path, async (file) => {
    await file.write(encodeHeader(planned, options.metadata ?? {}));
    for (const [i, { entry, begin, end }] of planned.entries()) {
      options.signal?.throwIfAborted();
      const data = await entry.data();
      planned[i + 1]?.entry.prepare?.();
      for await (const piece of data instanceof Uint8Array ? [data] : data) {
        options.signal?.throwIfAborted();
        done += piece.byteLength;
        if (done > end) break;
        await file.write(piece);
        options.onProgress?.({ stage: 'write', done, total });
      }
      if (done !== end) {
        throw new LlmError(
          'INVALID_ARGUMENT',
          `Tensor ${entry.name} of ${end - begin} bytes was given ${done > end ? 'more' : `only ${done - begin}`}.`,
        );
      }
    }
  });
}

interface PlannedEntry {
  readonly entry: SafetensorsEntry;
  readonly begin: number;
  readonly end: number;
}

function plan(entries: Iterable<SafetensorsEntry>): PlannedEntry[] {
  const sized = [...entries].map((entry) => ({ entry, bytes: elementCount(entry.shape) * elementBytes[entry.dtype] }));
  const rank = ({ entry, bytes }: (typeof sized)[number]): number =>
    bytes % ALIGNMENT === 0 ? ALIGNMENT : elementBytes[entry.dtype];
  sized.sort((a, b) => rank(b) - rank(a));
  const names = new Set<string>();
  let end = 0;
  return sized.map(({ entry, bytes }) => {
    if (names.has(entry.name)) throw new LlmError('INVALID_ARGUMENT', `Two tensors are named ${entry.name}.`);
    names.add(entry.name);
    const begin = end;
    end += bytes;
    return { entry, begin, end };
  });
}

function encodeHeader(planned: readonly PlannedEntry[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const header = new Map<string, unknown>();
  if (Object.keys(metadata).length > 0) header.set('__metadata__', metadata);
  for (const { entry, begin, end } of planned) {
    header.set(entry.name, { dtype: entry.dtype, shape: entry.shape, data_offsets: [begin, end] });
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const padded = Math.ceil((8 + json.length) / ALIGNMENT) * ALIGNMENT;
  const bytes = new Uint8Array(padded).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded - 8), true);
  bytes.set(json, 8);
  return bytes;
}
