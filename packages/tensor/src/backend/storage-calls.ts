declare const storageHandle: unique symbol;

/** A block of bytes behind an opaque handle: native calls take it, JavaScript cannot look into it. */
export interface StorageHandle {
  readonly [storageHandle]: true;
}

/** native/addon/storage_binding.cc */
export interface StorageCalls {
  allocateStorage(byteLength: number): StorageHandle;
  mapStorage(path: string): StorageHandle;
  storageByteLength(handle: StorageHandle): number;
  readStorage(handle: StorageHandle, offset: number, target: Uint8Array): void;
  writeStorage(handle: StorageHandle, offset: number, bytes: Uint8Array): void;
  prefetchStorage(handle: StorageHandle): void;
  /** Frees a buffer's memory; absent from WebAssembly. */
  detachBuffer?(buffer: ArrayBuffer): void;
  populateStorage(handle: StorageHandle, offset: number, byteLength: number): Promise<void>;
  disposeStorage(handle: StorageHandle): void;
}
