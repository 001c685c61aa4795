import { OutOfMemoryError } from '../errors.ts';

/** What is used of WebAssembly's memory; its types belong to browsers. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
}

interface Limits {
  readonly initial: number;
  readonly maximum: number;
  readonly shared?: boolean;
}

type MemoryConstructor = new (limits: Limits) => WasmMemory;

/** As in tools/native/build-wasm.mjs: 16 MiB to begin with, 4 GiB at most. */
const limits: Limits = { initial: 256, maximum: 65_536 };
const pageBytes = 65_536;

/**
 * Memory that threads can share, where the engine has it: browsers only give it to pages that are isolated from other
 * origins. Else memory for one thread.
 * @throws {@link OutOfMemoryError}
 */
export function createMemory(
  Memory: MemoryConstructor = (globalThis as unknown as { WebAssembly: { Memory: MemoryConstructor } }).WebAssembly
    .Memory,
): { memory: WasmMemory; shared: boolean } {
  const isolated = (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated;
  if (typeof SharedArrayBuffer === 'function' && isolated !== false) {
    try {
      return { memory: new Memory({ ...limits, shared: true }), shared: true };
    } catch {
      // It takes all addresses at once, and may be refused where memory that moves when it grows is not.
    }
  }
  try {
    return { memory: new Memory(limits), shared: false };
  } catch (cause) {
    throw new OutOfMemoryError(limits.initial * pageBytes, {
      cause,
      advice: 'WebAssembly cannot start without it. Close other pages or programs, and load this one again.',
    });
  }
}

/**
 * The same module for memory of one thread. Modules say which kind they import, in one bit: files say `shared`, and are
 * correct with either, as atomic instructions are allowed on both.
 */
export function forOneThread(module: Uint8Array): Uint8Array {
  const own = new Uint8Array(module);
  own[memoryFlags(own)] = 0x01; // has a maximum
  return own;
}

/** Where the flags of the imported memory are. The binary format: WebAssembly Core Specification 5.3.8, 5.5.5. */
function memoryFlags(bytes: Uint8Array): number {
  const importSection = 2;
  const [functionKind, memoryKind] = [0, 2];
  let at = 8;
  const number = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  const skipName = (): void => {
    const length = number();
    at += length;
  };
  while (at < bytes.length) {
    const section = bytes[at++];
    const end = number() + at;
    for (let left = section === importSection ? number() : 0; left > 0; left--) {
      skipName();
      skipName();
      const kind = bytes[at++];
      if (kind === memoryKind) return at;
      if (kind !== functionKind) break;
      number();
    }
    at = end;
  }
  throw new TypeError('this WebAssembly module imports no memory');
}
