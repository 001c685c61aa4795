import { CorruptFileError, UnsupportedFormatError } from '../../errors.ts';
import type { FileReader } from '../../read-file.ts';

/** Where one stored entry of a zip archive lies. */
export interface ZipEntry {
  readonly name: string;
  /** Of its bytes, from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

const END = 0x06054b50;
const END_64 = 0x06064b50;
const LOCATOR_64 = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const END_BYTES = 22;
/** The comment at the end of an archive is no longer than this. */
const MAX_COMMENT_BYTES = 65535;
/** Largest directory that is read: a hundred thousand tensors have one of 15 MB. */
const MAX_DIRECTORY_BYTES = 64 << 20;

/** The entries of a zip archive (APPNOTE 6.3), which must be stored without compression, as PyTorch does. */
export function readZip(file: FileReader): ZipEntry[] {
  const { count, offset, size } = findDirectory(file);
  if (size > MAX_DIRECTORY_BYTES)
    throw new CorruptFileError(file.path, offset, `a directory of ${size} bytes is too large`);
  const directory = Buffer.from(file.read(offset, size).buffer);
  const entries: ZipEntry[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > directory.length || directory.readUInt32LE(at) !== CENTRAL) {
      throw new CorruptFileError(file.path, offset + at, `entry ${i} of the archive's directory is not there`);
    }
    const nameLength = directory.readUInt16LE(at + 28);
    const extraLength = directory.readUInt16LE(at + 30);
    const end = at + 46 + nameLength + extraLength + directory.readUInt16LE(at + 32);
    if (end > directory.length)
      throw new CorruptFileError(file.path, offset + at, `entry ${i} of the directory is cut off`);
    const name = directory.toString('utf8', at + 46, at + 46 + nameLength);
    const extra = directory.subarray(at + 46 + nameLength, at + 46 + nameLength + extraLength);
    const sizes = [directory.readUInt32LE(at + 24), directory.readUInt32LE(at + 20), directory.readUInt32LE(at + 42)];
    const [byteLength = 0, stored = 0, local = 0] = widen(sizes, extra);
    if (directory.readUInt16LE(at + 10) !== 0 || byteLength !== stored) {
      throw new UnsupportedFormatError(file.path, `${name} in the archive is compressed`);
    }
    entries.push({ name, offset: dataOffset(file, local, byteLength), byteLength });
    at = end;
  }
  return entries;
}

interface Directory {
  readonly count: number;
  readonly offset: number;
  readonly size: number;
}

function findDirectory(file: FileReader): Directory {
  const tailBytes = Math.min(file.size, END_BYTES + MAX_COMMENT_BYTES);
  const tail = Buffer.from(file.read(file.size - tailBytes, tailBytes).buffer);
  for (let at = tail.length - END_BYTES; at >= 0; at--) {
    if (tail.readUInt32LE(at) !== END) continue;
    const end = file.size - tailBytes + at;
    const narrow = {
      count: tail.readUInt16LE(at + 10),
      size: tail.readUInt32LE(at + 12),
      offset: tail.readUInt32LE(at + 16),
    };
    return checked(file, wideDirectory(file, end) ?? narrow);
  }
  throw new CorruptFileError(file.path, 0, 'it is no zip archive, which PyTorch has written since version 1.6');
}

function wideDirectory(file: FileReader, end: number): Directory | undefined {
  if (end < 20) return undefined;
  const locator = Buffer.from(file.read(end - 20, 20).buffer);
  if (locator.readUInt32LE(0) !== LOCATOR_64) return undefined;
  const at = Number(locator.readBigUInt64LE(8));
  if (at > file.size - 56) throw new CorruptFileError(file.path, end, 'the end of the archive points beyond it');
  const record = Buffer.from(file.read(at, 56).buffer);
  if (record.readUInt32LE(0) !== END_64)
    throw new CorruptFileError(file.path, at, 'the end of the archive is not there');
  const [count, size, offset] = [32, 40, 48].map((field) => Number(record.readBigUInt64LE(field)));
  return { count: count as number, size: size as number, offset: offset as number };
}

function checked(file: FileReader, directory: Directory): Directory {
  const { offset, size } = directory;
  if (offset + size <= file.size) return directory;
  throw new CorruptFileError(file.path, file.size, 'the directory of the archive reaches beyond its end');
}

/** Sizes of 0xffffffff are in the zip64 field of the extra data, 8 bytes each, in their order. */
function widen(values: readonly number[], extra: Buffer): number[] {
  let field: Buffer | undefined;
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) === 1) field = extra.subarray(at + 4, at + 4 + extra.readUInt16LE(at + 2));
  }
  let at = 0;
  return values.map((value) => {
    if (value !== 0xffffffff || !field || at + 8 > field.length) return value;
    at += 8;
    return Number(field.readBigUInt64LE(at - 8));
  });
}

function dataOffset(file: FileReader, local: number, byteLength: number): number {
  if (local + 30 > file.size)
    throw new CorruptFileError(file.path, file.size, 'an entry of the archive starts beyond its end');
  const header = Buffer.from(file.read(local, 30).buffer);
  if (header.readUInt32LE(0) !== LOCAL)
    throw new CorruptFileError(file.path, local, 'an entry of the archive is not there');
  const offset = local + 30 + header.readUInt16LE(26) + header.readUInt16LE(28);
  if (offset + byteLength > file.size) {
    throw new CorruptFileError(
      file.path,
      file.size,
      `an entry of ${byteLength} bytes reaches beyond the end of the archive`,
    );
  }
  return offset;
}
