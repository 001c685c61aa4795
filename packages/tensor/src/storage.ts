/** Bytes outside the JavaScript heap: a mapped file or an allocation. */
export interface Storage extends Disposable {
  readonly byteLength: number;
  /** A copy of some bytes. */
  read(offset: number, length: number): Uint8Array;
  write(offset: number, bytes: Uint8Array): void;
}
