import { createHash, randomUUID, type Hash } from 'node:crypto';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import type { NativeProgram } from './backend/program-calls.ts';
import type { Matrix } from './matrix.ts';
import type { ProgramDescription } from './program-description.ts';
import { OutOfBlocksError, SequenceFileError, translateProgramErrors } from './program-errors.ts';

/**
 * A saved sequence: magic, the length of the header, the header as JSON, tokens as int32, the cache's blocks, and the SHA-256
 * of all before. Numbers are little-endian. Blocks are in the layout of the kernels, which is the same on every machine.
 */
const magic = Buffer.from('LLMSEQ01');
const maxHeaderBytes = 4096;
const digestBytes = 32;

interface Header {
  readonly program: string;
  readonly tokens: number;
  readonly blocks: number;
  readonly blockBytes: number;
}

const fingerprints = new WeakMap<ProgramDescription, string>();

/** Tells models and kinds of cache apart: of every matrix the shape and the first row, and all that is small. */
function fingerprint(description: ProgramDescription): string {
  const known = fingerprints.get(description);
  if (known !== undefined) return known;
  const digest = (value: NodeJS.ArrayBufferView): string => createHash('sha256').update(value).digest('hex');
  const { layers, kvHeads, keyDim, valueDim, type, blockTokens } = description.cache;
  // How long the context or a step may be does not matter to what is in the cache.
  const text = JSON.stringify(
    [layers, kvHeads, keyDim, valueDim, type, blockTokens, description.instructions],
    (_, value: unknown) => {
      if (isMatrix(value))
        return [value.format, value.rows, value.columns, value.groupSize, digest(value.toFloat32(0, 1))];
      return value instanceof Float32Array || value instanceof Int32Array ? digest(value) : value;
    },
  );
  const result = digest(Buffer.from(text));
  fingerprints.set(description, result);
  return result;
}

function isMatrix(value: unknown): value is Matrix {
  return typeof value === 'object' && value !== null && 'toFloat32' in value;
}

/** @internal */
export async function saveSequence(
  native: NativeProgram,
  description: ProgramDescription,
  sequence: number,
  path: string,
): Promise<void> {
  const tokens = translateProgramErrors(() => native.sequenceTokens(sequence));
  const { blockBytes } = native.statistics();
  const blocks = Math.ceil(tokens.length / description.cache.blockTokens);
  const header: Header = { program: fingerprint(description), tokens: tokens.length, blocks, blockBytes };
  const headerBytes = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(headerBytes.length);

  const temporary = `${path}.${randomUUID()}.partial`;
  const file = await open(temporary, 'wx');
  try {
    const hash = createHash('sha256');
    const write = async (bytes: Uint8Array): Promise<void> => {
      hash.update(bytes);
      await file.writeFile(bytes);
    };
    for (const bytes of [magic, length, headerBytes, littleEndian(tokens)]) await write(bytes);
    for (let block = 0; block < blocks; block++)
      await write(translateProgramErrors(() => native.readBlock(sequence, block)));
    await file.writeFile(hash.digest());
    await file.sync();
    await file.close();
    await rename(temporary, path);
  } catch (error) {
    await file.close().catch(() => undefined);
    await rm(temporary, { force: true });
    throw error;
  }
}

/** @internal */
export async function restoreSequence(
  native: NativeProgram,
  description: ProgramDescription,
  path: string,
): Promise<number> {
  const file = await open(path, 'r');
  let sequence: number | undefined;
  try {
    const hash = createHash('sha256');
    const prefix = await read(file, path, magic.length + 4, hash);
    if (!prefix.subarray(0, magic.length).equals(magic)) throw new SequenceFileError(path, 'it is no saved sequence');
    const headerBytes = prefix.readUInt32LE(magic.length);
    if (headerBytes > maxHeaderBytes) throw new SequenceFileError(path, 'its header is too long');
    const header = parseHeader(path, await read(file, path, headerBytes, hash));
    const { blockBytes, free, blocks } = sizesOf(native);
    if (header.program !== fingerprint(description) || header.blockBytes !== blockBytes)
      throw new SequenceFileError(path, 'it belongs to another model, or to another kind of cache');
    const size = prefix.length + headerBytes + 4 * header.tokens + header.blocks * blockBytes + digestBytes;
    if (header.blocks !== Math.ceil(header.tokens / description.cache.blockTokens) || (await file.stat()).size !== size)
      throw new SequenceFileError(path, 'it is damaged');
    if (header.blocks > free) throw new OutOfBlocksError(header.blocks, free, blocks);

    const tokens = fromLittleEndian(await read(file, path, 4 * header.tokens, hash));
    if (tokens.some((token) => token < 0 || token >= description.vocabularySize))
      throw new SequenceFileError(path, 'it is damaged');
    sequence = translateProgramErrors(() => native.beginRestore(tokens), native);
    for (let block = 0; block < header.blocks; block++)
      native.writeBlock(sequence, block, await read(file, path, blockBytes, hash));
    const digest = hash.digest();
    if (!(await read(file, path, digestBytes)).equals(digest)) throw new SequenceFileError(path, 'it is damaged');
    native.endRestore(sequence);
    return sequence;
  } catch (error) {
    if (sequence !== undefined) native.releaseSequence(sequence);
    throw error;
  } finally {
    await file.close();
  }
}

function sizesOf(native: NativeProgram): { blockBytes: number; free: number; blocks: number } {
  const { blockBytes, freeBlocks, blocks } = native.statistics();
  return { blockBytes, free: freeBlocks, blocks };
}

async function read(file: FileHandle, path: string, length: number, hash?: Hash): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(bytes, done, length - done);
    if (bytesRead === 0) throw new SequenceFileError(path, 'it ends too early');
    done += bytesRead;
  }
  hash?.update(bytes);
  return bytes;
}

function parseHeader(path: string, bytes: Buffer): Header {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch {
    throw new SequenceFileError(path, 'its header is damaged');
  }
  const count = (field: unknown): field is number => Number.isSafeInteger(field) && Number(field) >= 0;
  if (typeof value === 'object' && value !== null) {
    const { program, tokens, blocks, blockBytes } = value as Partial<Record<keyof Header, unknown>>;
    if (typeof program === 'string' && count(tokens) && count(blocks) && count(blockBytes) && tokens < 2 ** 31)
      return { program, tokens, blocks, blockBytes };
  }
  throw new SequenceFileError(path, 'its header is damaged');
}

function littleEndian(tokens: Int32Array): Buffer {
  const bytes = Buffer.alloc(4 * tokens.length);
  for (const [index, token] of tokens.entries()) bytes.writeInt32LE(token, 4 * index);
  return bytes;
}

function fromLittleEndian(bytes: Buffer): Int32Array {
  return Int32Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readInt32LE(4 * index));
}
