import { InvalidArgumentError } from '@llm/tensor';

import { elementCount } from '../../number-formats.ts';
import { writeAtomically } from '../atomic-file.ts';
import type { TensorBytes, WriteSafetensorsOptions } from '../safetensors/write.ts';
import { ggufTypes, type GgufTypeName } from './types.ts';

/** A value of the metadata, with the type under which the file holds it. */
export type GgufEntryValue =
  | { readonly type: 'u32' | 'i32' | 'f32'; readonly value: number }
  | { readonly type: 'u64'; readonly value: bigint }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'strings'; readonly value: readonly string[] }
  | { readonly type: 'i32s' | 'f32s'; readonly value: ArrayLike<number> };

/** One tensor to write. `data` is asked for its bytes only when it is its turn. */
export interface GgufEntry {
  readonly name: string;
  readonly type: GgufTypeName;
  /** Row-major: outputs, then inputs. */
  readonly shape: readonly number[];
  readonly data: () => TensorBytes | Promise<TensorBytes>;
}

const ALIGNMENT = 32;
const VERSION = 3;

/**
 * Writes a GGUF file, version 3, in bounded memory; it appears under its name when it is complete.
 * Throws `WriteError` where the system refuses, and `InvalidArgumentError` where an entry's data do not fit its shape.
 */
export async function writeGguf(
  path: string,
  metadata: ReadonlyMap<string, GgufEntryValue>,
  entries: readonly GgufEntry[],
  options: Omit<WriteSafetensorsOptions, 'metadata'> = {},
): Promise<void> {
  const planned = plan(entries);
  const total = planned.reduce((sum, { bytes }) => sum + bytes, 0);
  let done = 0;
  await writeAtomically(path, async (file) => {
    const header = encodeHeader(metadata, planned);
    await file.write(header);
    await file.write(padding(header.byteLength));
    for (const { entry, bytes } of planned) {
      options.signal?.throwIfAborted();
      const end = done + bytes;
      const data = await entry.data();
      for await (const piece of data instanceof Uint8Array ? [data] : data) {
        options.signal?.throwIfAborted();
        done += piece.byteLength;
        if (done > end) break;
        await file.write(piece);
        options.onProgress?.({ stage: 'write', done, total });
      }
      if (done !== end) throw new InvalidArgumentError(`Tensor ${entry.name} of ${bytes} bytes was given others.`);
      await file.write(padding(bytes));
    }
  });
}

interface PlannedEntry {
  readonly entry: GgufEntry;
  readonly code: number;
  readonly bytes: number;
  readonly offset: number;
}

function plan(entries: readonly GgufEntry[]): PlannedEntry[] {
  let offset = 0;
  return entries.map((entry) => {
    const [code, type] = [...ggufTypes].find(([, { name }]) => name === entry.type) as [
      number,
      { values: number; bytes: number },
    ];
    const row = entry.shape.at(-1) ?? 0;
    if (row % type.values !== 0 || row === 0) {
      throw new InvalidArgumentError(
        `Tensor ${entry.name}: rows of ${row} are no whole ${entry.type} blocks of ${type.values}.`,
      );
    }
    const bytes = (elementCount(entry.shape) / type.values) * type.bytes;
    const planned = { entry, code, bytes, offset };
    offset += bytes + padding(bytes).byteLength;
    return planned;
  });
}

function padding(length: number): Uint8Array {
  return new Uint8Array((ALIGNMENT - (length % ALIGNMENT)) % ALIGNMENT);
}

function encodeHeader(metadata: ReadonlyMap<string, GgufEntryValue>, planned: readonly PlannedEntry[]): Uint8Array {
  const out = new ByteWriter();
  out.raw(new TextEncoder().encode('GGUF'));
  out.u32(VERSION);
  out.u64(planned.length);
  out.u64(metadata.size);
  for (const [key, value] of metadata) {
    out.string(key);
    encodeValue(out, value);
  }
  for (const { entry, code, offset } of planned) {
    out.string(entry.name);
    out.u32(entry.shape.length);
    for (const size of entry.shape.toReversed()) out.u64(size);
    out.u32(code);
    out.u64(offset);
  }
  return out.bytes();
}

/** The numbers of the types in the file. */
const codes = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9, u64: 10 } as const;

function encodeValue(out: ByteWriter, entry: GgufEntryValue): void {
  switch (entry.type) {
    case 'u32':
    case 'i32':
      out.u32(codes[entry.type]);
      out.u32(entry.value >>> 0);
      return;
    case 'f32':
      out.u32(codes.f32);
      out.f32(entry.value);
      return;
    case 'u64':
      out.u32(codes.u64);
      out.u64(entry.value);
      return;
    case 'bool':
      out.u32(codes.bool);
      out.raw(Uint8Array.of(entry.value ? 1 : 0));
      return;
    case 'string':
      out.u32(codes.string);
      out.string(entry.value);
      return;
    case 'strings':
      out.array(codes.string, entry.value.length);
      for (const text of entry.value) out.string(text);
      return;
    case 'i32s':
      out.array(codes.i32, entry.value.length);
      for (let i = 0; i < entry.value.length; i++) out.u32((entry.value[i] as number) >>> 0);
      return;
    case 'f32s':
      out.array(codes.f32, entry.value.length);
      for (let i = 0; i < entry.value.length; i++) out.f32(entry.value[i] as number);
  }
}

/** Little-endian values one after the other in memory that grows. */
class ByteWriter {
  #bytes = new Uint8Array(1 << 16);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  u32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  u64(value: number | bigint): void {
    this.#reserve(8);
    this.#view.setBigUint64(this.#length, BigInt(value), true);
    this.#length += 8;
  }

  f32(value: number): void {
    this.#reserve(4);
    this.#view.setFloat32(this.#length, value, true);
    this.#length += 4;
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.byteLength);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.byteLength;
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.u64(bytes.byteLength);
    this.raw(bytes);
  }

  array(type: number, length: number): void {
    this.u32(codes.array);
    this.u32(type);
    this.u64(length);
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}
