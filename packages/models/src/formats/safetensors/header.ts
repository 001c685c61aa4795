import { CorruptFileError } from '../../errors.ts';
import { elementBytes, isElementType, type ElementType } from '../../number-formats.ts';
import { FileReader, parseJson } from '../../read-file.ts';
import { duplicateKey } from './duplicate-key.ts';

/** Longest header that is read; the same limit as in the reference implementation of the format. */
const MAX_HEADER_BYTES = 100_000_000;
/** More dimensions than any framework has. */
const MAX_DIMENSIONS = 32;

export interface SafetensorsTensor {
  readonly name: string;
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  /** From the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface SafetensorsHeader {
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of their data. */
  readonly tensors: readonly SafetensorsTensor[];
}

/**
 * Reads and checks the header of a safetensors file: u64 length, JSON, data. The tensors must fill the data exactly, without
 * overlaps or holes, as the format demands. Throws `CorruptFileError`.
 */
export function readSafetensorsHeader(path: string): SafetensorsHeader {
  using file = new FileReader(path);
  const length = new DataView(file.read(0, 8).buffer).getBigUint64(0, true);
  const room = Math.min(MAX_HEADER_BYTES, file.size - 8);
  if (length > room)
    throw new CorruptFileError(path, 0, `a header of ${length} bytes is announced, ${room} are possible`);
  const headerBytes = Number(length);
  const bytes = file.read(8, headerBytes);
  const entries = parseJson(path, 8, bytes);
  if (!isRecord(entries)) throw new CorruptFileError(path, 8, 'the header is not a JSON object');
  const twice = duplicateKey(new TextDecoder().decode(bytes));
  if (twice !== undefined) throw new CorruptFileError(path, 8, `the header names ${twice} twice`);

  const dataStart = 8 + headerBytes;
  const dataBytes = file.size - dataStart;
  const tensors: SafetensorsTensor[] = [];
  let metadata: Record<string, string> = {};
  for (const [name, entry] of Object.entries(entries)) {
    if (name === '__metadata__') metadata = parseMetadata(path, entry);
    else tensors.push(parseTensor(path, name, entry, dataStart, dataBytes));
  }
  tensors.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  let end = dataStart;
  for (const { name, offset, byteLength } of tensors) {
    if (offset !== end) {
      const what = offset < end ? 'overlaps the tensor before it' : `leaves a hole of ${offset - end} bytes before it`;
      throw new CorruptFileError(path, offset, `tensor ${name} ${what}`);
    }
    end = offset + byteLength;
  }
  if (end !== file.size) throw new CorruptFileError(path, end, `${file.size - end} bytes belong to no tensor`);
  return { metadata, tensors };
}

function parseTensor(
  path: string,
  name: string,
  entry: unknown,
  dataStart: number,
  dataBytes: number,
): SafetensorsTensor {
  const fail = (reason: string): never => {
    throw new CorruptFileError(path, 8, `tensor ${name}: ${reason}`);
  };
  if (!isRecord(entry)) return fail('its entry is not an object');
  const { dtype, shape, data_offsets: range } = entry as Partial<Record<string, unknown>>;
  if (!isElementType(dtype)) return fail(`unknown dtype ${JSON.stringify(dtype)}`);
  if (!isSizes(shape) || shape.length > MAX_DIMENSIONS)
    return fail(`shape ${JSON.stringify(shape)} is not a list of sizes`);
  if (!isSizes(range) || range.length !== 2) return fail(`data_offsets ${JSON.stringify(range)} are not two offsets`);
  const [begin, end] = range as [number, number];
  if (begin > end || end > dataBytes)
    return fail(`bytes ${begin} to ${end} are outside the ${dataBytes} bytes of data`);
  const byteLength = shape.reduce((product, size) => product * size, elementBytes[dtype]);
  if (byteLength !== end - begin) {
    return fail(`${dtype} [${shape.join(', ')}] takes ${byteLength} bytes, the header gives it ${end - begin}`);
  }
  return { name, dtype, shape, offset: dataStart + begin, byteLength };
}

function parseMetadata(path: string, entry: unknown): Record<string, string> {
  if (!isRecord(entry) || !Object.values(entry).every((value) => typeof value === 'string')) {
    throw new CorruptFileError(path, 8, '__metadata__ is not a map of strings');
  }
  return entry as Record<string, string>;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && (size as number) >= 0);
}
