import { CorruptFileError, InvalidConfigError } from '../../errors.ts';
import type { GgufCursor } from './cursor.ts';

/** Longest key; the format itself says 2^16 - 1. */
const MAX_KEY_BYTES = 65535;
/** Arrays of arrays deeper than this are nonsense. */
const MAX_NESTING = 4;

export type GgufArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array
  | readonly string[]
  | readonly boolean[]
  | readonly GgufArray[];

export type GgufValue = number | bigint | boolean | string | GgufArray;

/** Bytes of one element of each kind of value in an array, as it lies in the file; strings and arrays: their length alone. */
const valueBytes = [1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8] as const;

const numberArrays = new Map<number, new (buffer: ArrayBuffer) => GgufArray>([
  [0, Uint8Array],
  [1, Int8Array],
  [2, Uint16Array],
  [3, Int16Array],
  [4, Uint32Array],
  [5, Int32Array],
  [6, Float32Array],
  [10, BigUint64Array],
  [11, BigInt64Array],
  [12, Float64Array],
]);

/** The key-value pairs of a GGUF file. A key of another type than asked for is an error that names it. */
export class GgufMetadata {
  readonly path: string;
  readonly entries: ReadonlyMap<string, GgufValue>;

  constructor(path: string, entries: ReadonlyMap<string, GgufValue>) {
    this.path = path;
    this.entries = entries;
  }

  string(key: string): string | undefined {
    const value = this.entries.get(key);
    if (value === undefined || typeof value === 'string') return value;
    throw this.#wrong(key, 'must be a text');
  }

  boolean(key: string): boolean | undefined {
    const value = this.entries.get(key);
    if (value === undefined || typeof value === 'boolean') return value;
    throw this.#wrong(key, 'must be true or false');
  }

  /** Any finite number. */
  number(key: string): number | undefined {
    const value = this.entries.get(key);
    if (value === undefined) return undefined;
    const number = typeof value === 'bigint' ? Number(value) : value;
    if (typeof number === 'number' && Number.isFinite(number)) return number;
    throw this.#wrong(key, 'must be a finite number');
  }

  /** A whole number of any width. */
  integer(key: string): number | undefined {
    const number = this.number(key);
    if (number === undefined || Number.isSafeInteger(number)) return number;
    throw this.#wrong(key, 'must be a whole number');
  }

  strings(key: string): readonly string[] | undefined {
    const value = this.entries.get(key);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
    throw this.#wrong(key, 'must be a list of texts');
  }

  numbers(key: string): ArrayLike<number> | undefined {
    const value = this.entries.get(key);
    if (value === undefined) return undefined;
    if (ArrayBuffer.isView(value) && !(value instanceof BigInt64Array) && !(value instanceof BigUint64Array))
      return value;
    if (ArrayBuffer.isView(value)) return Array.from(value, Number);
    throw this.#wrong(key, 'must be a list of numbers');
  }

  #wrong(key: string, reason: string): InvalidConfigError {
    return new InvalidConfigError(this.path, key, reason);
  }
}

/** Reads so many pairs of key and value. */
export function readMetadata(cursor: GgufCursor, pairs: number): GgufMetadata {
  const entries = new Map<string, GgufValue>();
  for (let i = 0; i < pairs; i++) {
    const at = cursor.offset;
    const key = cursor.string(MAX_KEY_BYTES);
    if (entries.has(key)) throw new CorruptFileError(cursor.path, at, `the key ${key} comes twice`);
    entries.set(key, readValue(cursor, cursor.u32(), 0));
  }
  return new GgufMetadata(cursor.path, entries);
}

function readValue(cursor: GgufCursor, type: number, nesting: number): GgufValue {
  switch (type) {
    case 0:
      return cursor.u8();
    case 1:
      return (cursor.u8() << 24) >> 24;
    case 2:
      return cursor.u8() | (cursor.u8() << 8);
    case 3:
      return ((cursor.u8() | (cursor.u8() << 8)) << 16) >> 16;
    case 4:
      return cursor.u32();
    case 5:
      return cursor.u32() | 0;
    case 6:
      return cursor.f32();
    case 7:
      return readBoolean(cursor);
    case 8:
      return cursor.string();
    case 9:
      return readArray(cursor, nesting + 1);
    case 10:
      return cursor.u64();
    case 11:
      return BigInt.asIntN(64, cursor.u64());
    case 12:
      return cursor.f64();
    default:
      throw new CorruptFileError(cursor.path, cursor.offset - 4, `unknown type of value ${type}`);
  }
}

function readArray(cursor: GgufCursor, nesting: number): GgufArray {
  const at = cursor.offset;
  if (nesting > MAX_NESTING) throw new CorruptFileError(cursor.path, at, 'lists are nested too deep');
  const type = cursor.u32();
  const itemBytes = valueBytes[type];
  if (itemBytes === undefined) throw new CorruptFileError(cursor.path, at, `unknown type of value ${type}`);
  const length = cursor.count(itemBytes);
  const NumberArray = numberArrays.get(type);
  if (NumberArray) return new NumberArray(cursor.bytes(length * itemBytes).buffer as ArrayBuffer);
  if (type === 7) return Array.from({ length }, () => readBoolean(cursor));
  if (type === 8) return Array.from({ length }, () => cursor.string());
  return Array.from({ length }, () => readArray(cursor, nesting + 1));
}

function readBoolean(cursor: GgufCursor): boolean {
  const at = cursor.offset;
  const value = cursor.u8();
  if (value > 1) throw new CorruptFileError(cursor.path, at, `${value} is neither true nor false`);
  return value === 1;
}
