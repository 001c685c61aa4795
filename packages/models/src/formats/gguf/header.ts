import { CorruptFileError, UnsupportedFormatError } from '../../errors.ts';
import { GgufCursor } from './cursor.ts';
import { readMetadata, type GgufMetadata } from './metadata.ts';
import { ggufTypes, unreadTypes, type GgufType } from './types.ts';

/** "GGUF", little-endian. */
const MAGIC = 0x46554747;
/** As many dimensions as ggml has. */
const MAX_DIMENSIONS = 4;
/** Longest tensor name; ggml itself stops at 64. */
const MAX_NAME_BYTES = 1024;
/** The least that one tensor takes in the header: name length, dimension count, type, offset. */
const MIN_TENSOR_BYTES = 8 + 4 + 4 + 8;
/** The least that one key and value take: key length, type, one byte. */
const MIN_PAIR_BYTES = 8 + 4 + 1;
/** The largest alignment that is believed. */
const MAX_ALIGNMENT = 1 << 20;
const DEFAULT_ALIGNMENT = 32;

export interface GgufTensor {
  /** As in the file, such as `blk.0.attn_q.weight`. */
  readonly name: string;
  readonly type: GgufType;
  /** Row-major, outputs first: the reverse of what the file holds. */
  readonly shape: readonly number[];
  /** From the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface GgufHeader {
  readonly version: number;
  readonly metadata: GgufMetadata;
  readonly tensors: readonly GgufTensor[];
}

/**
 * Reads and checks everything in front of the data of a GGUF file, version 2 or 3. Throws `CorruptFileError`, or
 * `UnsupportedFormatError` for other versions and for kinds of tensors that are not read here.
 */
export function readGgufHeader(path: string): GgufHeader {
  using cursor = new GgufCursor(path);
  if (cursor.u32() !== MAGIC) throw new CorruptFileError(path, 0, 'it does not start with GGUF');
  const version = cursor.u32();
  if (version !== 2 && version !== 3) {
    const other =
      (version & 0xffff) === 0 ? 'it is big-endian' : `it is GGUF version ${version}, and 2 and 3 are known`;
    throw new UnsupportedFormatError(path, other);
  }
  const tensorCount = cursor.count(MIN_TENSOR_BYTES);
  const pairs = cursor.count(MIN_PAIR_BYTES);
  const metadata = readMetadata(cursor, pairs);
  const alignment = metadata.integer('general.alignment') ?? DEFAULT_ALIGNMENT;
  if (alignment < 1 || alignment > MAX_ALIGNMENT || (alignment & (alignment - 1)) !== 0) {
    throw new CorruptFileError(path, cursor.offset, `general.alignment ${alignment} is not a power of two`);
  }
  const relative = Array.from({ length: tensorCount }, () => readTensor(cursor, alignment));
  const dataStart = Math.ceil(cursor.offset / alignment) * alignment;
  const tensors = relative.map((tensor) => ({ ...tensor, offset: dataStart + tensor.offset }));
  checkLayout(path, tensors, cursor.size);
  return { version, metadata, tensors };
}

function readTensor(cursor: GgufCursor, alignment: number): GgufTensor {
  const at = cursor.offset;
  const name = cursor.string(MAX_NAME_BYTES);
  const fail = (reason: string): never => {
    throw new CorruptFileError(cursor.path, at, `tensor ${name}: ${reason}`);
  };
  const dimensions = cursor.u32();
  if (dimensions < 1 || dimensions > MAX_DIMENSIONS) return fail(`${dimensions} dimensions`);
  const shape = Array.from({ length: dimensions }, () => cursor.size64()).reverse();
  const code = cursor.u32();
  const type = ggufTypes.get(code);
  if (!type) {
    const unread = unreadTypes.get(code);
    if (unread === undefined) return fail(`unknown type ${code}`);
    const known = [...ggufTypes.values()].map((known) => known.name).join(', ');
    throw new UnsupportedFormatError(cursor.path, `tensor ${name} is ${unread}; known are ${known}`);
  }
  const offset = cursor.size64();
  const row = shape.at(-1) as number;
  if (shape.includes(0)) return fail('a dimension of 0');
  if (row % type.values !== 0) return fail(`rows of ${row} are no whole ${type.name} blocks of ${type.values}`);
  const byteLength = shape.reduce((product, size) => product * size, 1) * (type.bytes / type.values);
  if (!Number.isSafeInteger(byteLength)) return fail(`its shape ${shape.join(' x ')} is too large`);
  if (offset % alignment !== 0) return fail(`its offset ${offset} is no multiple of ${alignment}`);
  return { name, type, shape, offset, byteLength };
}

function checkLayout(path: string, tensors: readonly GgufTensor[], fileBytes: number): void {
  const names = new Set<string>();
  let end = 0;
  for (const { name, offset, byteLength } of [...tensors].sort((a, b) => a.offset - b.offset)) {
    if (names.has(name)) throw new CorruptFileError(path, offset, `two tensors are named ${name}`);
    names.add(name);
    if (offset < end) throw new CorruptFileError(path, offset, `tensor ${name} overlaps the one before it`);
    end = offset + byteLength;
    if (end > fileBytes) {
      throw new CorruptFileError(path, fileBytes, `the file ends here, and tensor ${name} reaches to byte ${end}`);
    }
  }
}
