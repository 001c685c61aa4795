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

/** native/addon/{matrix,packing,matmul}_binding.cc */
export interface MatrixCalls {
  matrixByteLength(...shape: Shape): number;
  createMatrix(storage: StorageHandle, offset: number, ...shape: Shape): MatrixHandle;
  readMatrix(matrix: MatrixHandle, target: Uint8Array): void;
  dequantizeMatrix(matrix: MatrixHandle, rowBegin: number, rowEnd: number, target: Float32Array): void;
  disposeMatrix(matrix: MatrixHandle): void;

  /** `later`: on the background thread, as a promise. */
  packMatrix(
    storage: StorageHandle,
    offset: number,
    ...rest: [...shape: Shape, ...arrays: PlainArrays, later: boolean]
  ): Promise<void> | undefined;
  unpackMatrix(matrix: MatrixHandle, ...arrays: PlainArrays): void;
  /** Rows from a multiple of 32 to another or the end, on the background thread. */
  roundMatrix(
    matrix: MatrixHandle,
    target: StorageHandle,
    ...rest: [...shape: Shape, rowBegin: number, rowEnd: number]
  ): Promise<void>;
  ggufFormat(type: string): string | undefined;
  importGguf(
    type: string,
    source: StorageHandle,
    offset: number,
    rows: number,
    columns: number,
    rowOrder: Int32Array | undefined,
    target: StorageHandle,
    targetOffset: number,
    later: boolean,
  ): Promise<void> | undefined;

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
