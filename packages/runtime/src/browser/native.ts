// Stands for tensor/src/backend/native.ts in bundles for browsers.

export function loadNative(): never {
  throw new Error('browsers run WebAssembly only');
}
