/** What native/addon/addon.cc exports, whether compiled to machine code or to WebAssembly. */
export interface Addon {
  cpuFeatures(): string[];
  kernelTables(): KernelTable[];
}

/** The kernels of one instruction set. */
export interface KernelTable {
  readonly isa: string;
  /** Whether this CPU, under this operating system, can run them. */
  readonly runnable: boolean;
}

export type BackendKind = 'native' | 'wasm';

export interface Backend {
  readonly kind: BackendKind;
  readonly addon: Addon;
}
