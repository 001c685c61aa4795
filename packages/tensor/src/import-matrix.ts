import { backend } from './backend/load.ts';
import { rethrowTranslated, translateErrors } from './backend/translate-errors.ts';
import { InvalidArgumentError } from './errors.ts';
import {
  Matrix,
  nativeShape,
  packedByteLength,
  type DenseFormat,
  type MatrixDescription,
  type MatrixFormat,
} from './matrix.ts';
import { checkOptions } from './options.ts';
import { Storage } from './storage.ts';

/** A matrix that was laid out anew from another format. */
export interface ImportedMatrix {
  readonly matrix: Matrix;
  /**
   * The largest difference between a stored and an imported weight: 0 if none changed, infinity where a scale or a weight is
   * beyond float16.
   */
  readonly largestError: number;
}

/** Kinds of GGUF blocks that are imported. */
export type GgufBlockType =
  'Q4_0' | 'Q4_1' | 'Q5_0' | 'Q5_1' | 'Q8_0' | 'IQ4_NL' | 'IQ4_XS' | 'Q2_K' | 'Q3_K' | 'Q4_K' | 'Q5_K' | 'Q6_K';

export interface ImportGgufOptions {
  /** Row r of the result is row `rowOrder[r]` of the source. Default: as stored. */
  readonly rowOrder?: Int32Array;
}

/**
 * Lays a GGUF tensor out anew, on all threads. Q4_0 becomes `int4-sym`, Q4_1 `int4-min`, Q8_0, Q5_0 and IQ4_NL `int8`, all in
 * groups of 32 and without loss. Of IQ4_XS (`int8`), Q4_K (`int4-min`), and in groups of 16 Q6_K (`int8`), Q3_K (`int3-sym`) and
 * Q2_K (`int4-min`) the codes stay the same; their scales, products in the file, are rounded to float16. Q5_1 and Q5_K, on no
 * packed grid, become `f16`.
 * @param storage - holds the row-major blocks of the tensor from `offset` on
 * @param columns - a multiple of a block's 32 or 256 values
 */
export function importGguf(
  type: GgufBlockType,
  storage: Storage,
  offset: number,
  rows: number,
  columns: number,
  options: ImportGgufOptions = {},
): ImportedMatrix {
  return imported(ggufDescription(type, rows, columns, options), (target) =>
    backend().addon.importGguf(
      ...([type, storage.handle, offset, rows, columns, options.rowOrder, target.handle, 0, false] as const),
    ),
  );
}

/** {@link importGguf} off the event loop. */
export function importGgufAsync(
  type: GgufBlockType,
  storage: Storage,
  offset: number,
  rows: number,
  columns: number,
  options: ImportGgufOptions = {},
): Promise<ImportedMatrix> {
  return importedLater(ggufDescription(type, rows, columns, options), (target) =>
    backend().addon.importGguf(
      ...([type, storage.handle, offset, rows, columns, options.rowOrder, target.handle, 0, true] as const),
    ),
  );
}

/**
 * How fields of bits follow each other in 32-bit words, lowest bits first. Of a matrix [n, m], word w of row r's stream is word
 * w n + r (`down`) or r ceil(m bits / 32) + w (`across`). `interleaved`: word (column, r / 8) holds 4 bits of the rows 0, 2, 4,
 * 6, 1, 3, 5, 7.
 */
export type FieldOrder = 'down' | 'across' | 'interleaved';

/** Where something begins. */
export interface StoragePlace {
  readonly storage: Storage;
  /** In bytes. */
  readonly offset: number;
}

/** The codes of a linear, [rows, columns]. */
export interface StoredCodes extends StoragePlace {
  readonly order: FieldOrder;
  /** 2, 3, 4 or 8. */
  readonly bits: number;
}

/** A linear as GPTQ, AWQ and compressed-tensors store it: w = scale (code - zero), G groups along the columns. */
export interface StoredLinear {
  readonly codes: StoredCodes;
  readonly scales: StoragePlace & {
    readonly type: 'F16' | 'BF16' | 'F32';
    /** [rows, G]; else [G, rows]. */
    readonly byRow: boolean;
  };
  /** For the formats named asym; the others have their zero in the middle. Fields [G, rows], or [rows, G] if interleaved. */
  readonly zeroPoints?: StoragePlace & {
    readonly order: FieldOrder;
    /** Added to every word before it is taken apart, modulo 2^32. */
    readonly addedToWords?: number;
    /** Added to every field, modulo its bits. */
    readonly addedToFields?: number;
  };
}

/**
 * Lays a stored linear out anew, on all threads: the same codes and zero points, scales rounded to float16.
 * @param description - `int2`, `int3`, `int4`, each `-sym` or `-asym`, or `int8`, as the stored codes have bits and zero points
 */
export function importLinear(description: MatrixDescription, linear: StoredLinear): ImportedMatrix {
  return imported(description, (target) =>
    backend().addon.importLinear(target.handle, 0, ...linearArguments(description, linear), false),
  );
}

/** {@link importLinear} off the event loop. */
export function importLinearAsync(description: MatrixDescription, linear: StoredLinear): Promise<ImportedMatrix> {
  return importedLater(description, (target) =>
    backend().addon.importLinear(target.handle, 0, ...linearArguments(description, linear), true),
  );
}

/** What codes stand for where groups are no runs of columns. */
export interface ScatteredGroups {
  /** The group of each column. */
  readonly groupOf: Int32Array;
  /** [rows × G] */
  readonly scales: Float32Array;
  /** [rows × G] */
  readonly zeroPoints: Uint8Array;
}

/** A stored linear of any grouping as `f16`, on all threads. */
export function dequantizeLinear(
  rows: number,
  columns: number,
  codes: StoredCodes,
  groups: ScatteredGroups,
): ImportedMatrix {
  return imported({ format: 'f16', rows, columns }, (target) =>
    backend().addon.dequantizeLinear(
      target.handle,
      0,
      rows,
      columns,
      ...scatteredArguments(rows, codes, groups),
      false,
    ),
  );
}

/** {@link dequantizeLinear} off the event loop. The arrays must not change until it is done. */
export function dequantizeLinearAsync(
  rows: number,
  columns: number,
  codes: StoredCodes,
  groups: ScatteredGroups,
): Promise<ImportedMatrix> {
  return importedLater({ format: 'f16', rows, columns }, (target) =>
    backend().addon.dequantizeLinear(target.handle, 0, rows, columns, ...scatteredArguments(rows, codes, groups), true),
  );
}

/** A dense matrix [rows, columns] that is stored as [columns, rows] from `offset` on, turned around on all threads. */
export function importTransposed(
  format: DenseFormat,
  storage: Storage,
  offset: number,
  rows: number,
  columns: number,
): Matrix {
  const size = format === 'f32' ? 4 : 2;
  return imported({ format, rows, columns }, (target) =>
    backend().addon.transposeMatrix(storage.handle, offset, size, rows, columns, target.handle, 0, false),
  ).matrix;
}

/** {@link importTransposed} off the event loop. */
export async function importTransposedAsync(
  format: DenseFormat,
  storage: Storage,
  offset: number,
  rows: number,
  columns: number,
): Promise<Matrix> {
  const size = format === 'f32' ? 4 : 2;
  const { matrix } = await importedLater({ format, rows, columns }, (target) =>
    backend().addon.transposeMatrix(storage.handle, offset, size, rows, columns, target.handle, 0, true),
  );
  return matrix;
}

/** What {@link importGguf} makes of a tensor of some type; undefined for types that it does not know. */
export function ggufMatrix(type: string, rows: number, columns: number): MatrixDescription | undefined {
  const target = backend().addon.ggufTarget(type);
  if (target === undefined) return undefined;
  const [name, groupSize] = target;
  const format = name as MatrixFormat;
  return { format, rows, columns, ...(format !== 'f16' && { groupSize }) };
}

function ggufDescription(type: string, rows: number, columns: number, options: ImportGgufOptions): MatrixDescription {
  checkOptions(options, ['rowOrder'], 'importGguf()');
  const description = ggufMatrix(type, rows, columns);
  if (!description) throw new InvalidArgumentError(`GGUF blocks of type ${type} are not known.`);
  return description;
}

/** In the order in which native/packing numbers them. */
const fieldOrders: readonly FieldOrder[] = ['down', 'across', 'interleaved'];
const scaleTypes: readonly string[] = ['F16', 'BF16', 'F32'];

type LinearArguments =
  Parameters<ReturnType<typeof backend>['addon']['importLinear']> extends [unknown, unknown, ...infer Rest, boolean]
    ? Rest
    : never;

function linearArguments(description: MatrixDescription, { codes, scales, zeroPoints }: StoredLinear): LinearArguments {
  return [
    ...nativeShape(description),
    ...([codes.storage.handle, codes.offset, fieldOrders.indexOf(codes.order), codes.bits] as const),
    ...([scales.storage.handle, scales.offset, scaleTypes.indexOf(scales.type), scales.byRow] as const),
    ...([zeroPoints?.storage.handle, zeroPoints?.offset ?? 0] as const),
    ...([zeroPoints ? fieldOrders.indexOf(zeroPoints.order) : 0, zeroPoints?.addedToWords ?? 0] as const),
    zeroPoints?.addedToFields ?? 0,
  ];
}

function scatteredArguments(
  rows: number,
  codes: StoredCodes,
  { groupOf, scales, zeroPoints }: ScatteredGroups,
): [Storage['handle'], number, number, number, number, Float32Array, Uint8Array, Int32Array] {
  const place = [codes.storage.handle, codes.offset, fieldOrders.indexOf(codes.order), codes.bits] as const;
  return [...place, scales.length / rows, scales, zeroPoints, groupOf];
}

function imported(
  description: MatrixDescription,
  start: (target: Storage) => Promise<number> | number,
): ImportedMatrix {
  const target = Storage.allocate(packedByteLength(description));
  const largestError = translateErrors(() => start(target)) as number;
  return { matrix: Matrix.owning(description, target), largestError };
}

async function importedLater(
  description: MatrixDescription,
  start: (target: Storage) => Promise<number> | number,
): Promise<ImportedMatrix> {
  const target = Storage.allocate(packedByteLength(description));
  const largestError = await Promise.resolve(translateErrors(() => start(target))).catch(rethrowTranslated);
  return { matrix: Matrix.owning(description, target), largestError };
}
