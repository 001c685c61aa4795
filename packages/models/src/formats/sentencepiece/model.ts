import { CorruptFileError, UnsupportedFormatError } from '../../errors.ts';

/** The parts of SentencePiece's `ModelProto` (sentencepiece_model.proto) that encode and decode text. */
export interface SentencePieceModel {
  readonly kind: 'unigram' | 'bpe';
  readonly pieces: readonly SentencePiece[];
  readonly unknownId: number;
  /** -1 where there is none. */
  readonly bosId: number;
  readonly eosId: number;
  readonly padId: number;
  /** Characters outside the vocabulary are written as bytes. */
  readonly byteFallback: boolean;
  /** A compiled table of replacements; empty for text that is taken as it is. */
  readonly normalizationTable: Uint8Array;
  readonly addSpacePrefix: boolean;
  readonly removeExtraSpaces: boolean;
}

export interface SentencePiece {
  readonly text: string;
  readonly score: number;
  readonly kind: PieceKind;
}

export type PieceKind = 'normal' | 'unknown' | 'control' | 'user-defined' | 'unused' | 'byte';

/** By the numbers of the file. */
const pieceKinds: readonly (PieceKind | undefined)[] = [
  undefined,
  'normal',
  'unknown',
  'control',
  'user-defined',
  'unused',
  'byte',
];

/** Reads a `tokenizer.model`. Throws `CorruptFileError`, or `UnsupportedFormatError` for word and character models. */
export function readSentencePieceModel(path: string, bytes: Uint8Array): SentencePieceModel {
  const pieces: SentencePiece[] = [];
  let trainer = new Map<number, Field>();
  let normalizer = new Map<number, Field>();
  for (const { number, value } of fields(path, bytes)) {
    if (!(value instanceof Uint8Array)) continue;
    if (number === 1) pieces.push(readPiece(path, value, pieces.length));
    else if (number === 2) trainer = lastFields(path, value);
    else if (number === 3) normalizer = lastFields(path, value);
  }
  if (pieces.length === 0)
    throw new CorruptFileError(path, 0, 'the file is no SentencePiece model, or it has no pieces');
  const kind = integer(trainer, 3, 1);
  if (kind !== 1 && kind !== 2)
    throw new UnsupportedFormatError(path, 'it is a SentencePiece model of words or characters');
  const table = normalizer.get(2);
  return {
    kind: kind === 1 ? 'unigram' : 'bpe',
    pieces,
    unknownId: integer(trainer, 40, 0),
    bosId: integer(trainer, 41, 1),
    eosId: integer(trainer, 42, 2),
    padId: integer(trainer, 43, -1),
    byteFallback: integer(trainer, 35, 0) !== 0,
    normalizationTable: table instanceof Uint8Array ? table : new Uint8Array(0),
    addSpacePrefix: integer(normalizer, 3, 1) !== 0,
    removeExtraSpaces: integer(normalizer, 4, 1) !== 0,
  };
}

function readPiece(path: string, bytes: Uint8Array, id: number): SentencePiece {
  const piece = lastFields(path, bytes);
  const text = piece.get(1);
  const score = piece.get(2);
  const kind = pieceKinds[integer(piece, 3, 1)];
  if (!(text instanceof Uint8Array) || kind === undefined)
    throw new CorruptFileError(path, 0, `piece ${id} has no text or kind`);
  return {
    text: new TextDecoder('utf-8', { ignoreBOM: true }).decode(text),
    score: typeof score === 'number' ? score : 0,
    kind,
  };
}

/** A varint, a float32, or bytes. */
type Field = bigint | number | Uint8Array;

function integer(message: ReadonlyMap<number, Field>, number: number, missing: number): number {
  const value = message.get(number);
  return typeof value === 'bigint' ? Number(BigInt.asIntN(32, value)) : missing;
}

/** Of a field that comes several times, the last one counts. */
function lastFields(path: string, bytes: Uint8Array): Map<number, Field> {
  return new Map(Array.from(fields(path, bytes), ({ number, value }) => [number, value]));
}

/** The fields of a message in protocol buffers' wire format. */
function* fields(path: string, bytes: Uint8Array): Iterable<{ readonly number: number; readonly value: Field }> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const fail = (reason: string): never => {
    throw new CorruptFileError(path, at, `the file is no SentencePiece model: ${reason}`);
  };
  const skip = (length: number): number => {
    if (at + length > bytes.length) fail('it ends in the middle of a field');
    at += length;
    return at - length;
  };
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[skip(1)] as number;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
    return fail('a number without an end');
  };
  while (at < bytes.length) {
    const key = Number(varint());
    const number = Math.floor(key / 8);
    if (key % 8 === 0) yield { number, value: varint() };
    else if (key % 8 === 1) skip(8);
    else if (key % 8 === 5) yield { number, value: view.getFloat32(skip(4), true) };
    else if (key % 8 === 2) {
      const length = varint();
      if (length > bytes.length) fail('it ends in the middle of a field');
      const start = skip(Number(length));
      yield { number, value: bytes.subarray(start, at) };
    } else fail(`wire type ${key % 8}`);
  }
}
