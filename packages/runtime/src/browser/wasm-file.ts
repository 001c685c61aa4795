// Stands for tensor/src/backend/wasm-file.ts in bundles for browsers.

let fetched: Uint8Array | undefined;

/** What {@link wasmBytes} returns from now on. */
export function provideWasm(bytes: Uint8Array): void {
  fetched = bytes;
}

export function wasmBytes(): Uint8Array {
  if (fetched === undefined) throw new Error('the kernels have not been fetched: call `await loadKernels()` first');
  return fetched;
}
