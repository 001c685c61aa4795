import { backend } from './backend/load.ts';
import type { Floats } from './blas-types.ts';

/** Not in the library that older runtimes are compiled for. */
interface Transferable {
  readonly transfer?: (newByteLength: number) => ArrayBuffer;
}

/**
 * Gives the memory of arrays back to the system at once. The garbage collector knows little of how much an array holds and lets
 * hundreds of megabytes wait for it. The arrays, and all others on their buffers, are empty afterwards: only for whoever owns them
 * and all their views. Where nothing can do it (WebAssembly under Node 20), they are left to the collector.
 */
export function releaseArrays(...arrays: readonly (Floats | Uint8Array | undefined)[]): void {
  for (const array of arrays) {
    const buffer: unknown = array?.buffer;
    // Emptied before, or shared with another thread. By its tag: `instanceof` does not know buffers of another realm.
    if (!isArrayBuffer(buffer) || buffer.byteLength === 0) continue;
    if ('transfer' in buffer) (buffer as Required<Transferable>).transfer(0);
    else backend().addon.detachBuffer?.(buffer);
  }
}

function isArrayBuffer(value: unknown): value is ArrayBuffer {
  return Object.prototype.toString.call(value) === '[object ArrayBuffer]';
}
