import type { StorageHandle } from './storage-calls.ts';

declare const matrixHandle: unique symbol;

/** A matrix behind an opaque handle, which keeps its bytes alive. */
export interface MatrixHandle {
  readonly [matrixHandle]: true;
}

/** The native format, rows, columns and values of K under one scale; 0 for the whole row. */
type Shape = [format: string, rows: number, columns: number, groupSize: number];

/** Arrays that a format does not have may be undefined. */
type PlainArrays = [
  codes: Uint8Array,
  scales: Float32Array,
  zeroPoints: Uint8Array | undefined,
  minima: Float32Array | undefined,
  multipliers: Uint8Array | undefined,
];

/** A place in a storage. */
type Place = [storage: StorageHandle, offset: number];

/** Fields of bits in 32-bit words; `order` as `FieldOrder` in native/packing/fields.h numbers them. */
type Fields = [...place: Place, order: number, bits: number];

/** native/addon/{matrix,packing,import,matmul}_binding.cc */
export interface MatrixCalls {
  matrixByteLength(...shape: Shape): number;
  createMatrix(storage: StorageHandle, offset: number, ...shape: Shape): MatrixHandle;
  readMatrix(matrix: MatrixHandle, offset: number, target: Uint8Array): void;
  dequantizeMatrix(matrix: MatrixHandle, rowBegin: number, rowEnd: number, target: Float32Array): void;
  disposeMatrix(matrix: MatrixHandle): void;

  /** `later`: on the background thread, as a promise. */
  packMatrix(
    storage: StorageHandle,
    offset: number,
    ...rest: [...shape: Shape, ...arrays: PlainArrays, later: boolean]
  ): Promise<number> | number;
  unpackMatrix(matrix: MatrixHandle, ...arrays: PlainArrays): void;
  /** Rows from a multiple of 32 to another or the end, on the background thread. */
  roundMatrix(
    matrix: MatrixHandle,
    target: StorageHandle,
    ...rest: [...shape: Shape, rowBegin: number, rowEnd: number]
  ): Promise<void>;

  /** What blocks of a type become; undefined for types that are not known. */
  ggufTarget(type: string): [format: string, groupSize: number] | undefined;
  /** These three return the largest difference between a stored and an imported weight. */
  importGguf(
    type: string,
    ...rest: [
      ...source: Place,
      rows: number,
      columns: number,
      rowOrder: Int32Array | undefined,
      ...target: Place,
      later: boolean,
    ]
  ): Promise<number> | number;
  importLinear(
    ...rest: [
      ...target: Place,
      ...shape: Shape,
      ...codes: Fields,
      ...scales: Place,
      type: number,
      byRow: boolean,
      zeroPoints: StorageHandle | undefined,
      zerosOffset: number,
      zerosOrder: number,
      addedToWords: number,
      addedToFields: number,
      later: boolean,
    ]
  ): Promise<number> | number;
  dequantizeLinear(
    ...rest: [
      ...target: Place,
      rows: number,
      columns: number,
      ...codes: Fields,
      groups: number,
      scales: Float32Array,
      zeroPoints: Uint8Array,
      groupOf: Int32Array,
      later: boolean,
    ]
  ): Promise<number> | number;
  transposeMatrix(
    ...rest: [...source: Place, elementBytes: number, rows: number, columns: number, ...target: Place, later: boolean]
  ): Promise<number> | number;

  matmul(
    matrix: MatrixHandle,
    x: Float32Array,
    rows: number,
    compute: string,
    span: number,
    isa: string,
    threads: number,
    out: Float32Array,
  ): void;

  selectMatmul(...rest: [...shape: Shape, compute: string, span: number, isa: string, rows: number]): {
    kernel: string;
    reason: string;
  };
  /** For the whole process; an empty name leaves the choice to the selector. False if there is no such kernel. */
  forceMatmul(kernel: string): boolean;
  /** Rows from which another int8 kernel is taken, in native/kernels/select_matmul.h; 0: never. False if there is no such name. */
  setMatmulThreshold(name: string, rows: number): boolean;
  /** Seconds of each of `repeats` products, fewer if they last longer than `most` seconds; the matrices, all of one shape, are taken in turn. */
  timeMatmul(
    matrices: MatrixHandle[],
    x: Float32Array,
    rows: number,
    compute: string,
    span: number,
    isa: string,
    threads: number,
    repeats: number,
    most: number,
  ): number[];
}
