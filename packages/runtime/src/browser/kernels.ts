import { bestWasmFile } from '@llm/tensor';
import { KernelFetchError } from './errors.ts';
import { provideWasm } from './wasm-file.ts';

export interface KernelOptions {
  /**
   * Where tensor.wasm and tensor-relaxed.wasm are. Default: the folder prebuilds/wasm of the package @llm/tensor, beside
   * that of @llm/runtime.
   */
  readonly folder?: string | URL;
  readonly signal?: AbortSignal;
}

let loading: Promise<void> | undefined;

/**
 * Fetches the kernels: the one file with the best instructions that this browser has. Call it before anything else; later
 * calls return the same promise, unless the first has failed.
 * @throws {@link KernelFetchError}; {@link LlmError} with code `NO_WASM_SIMD` if the browser is too old; the signal's reason
 */
export function loadKernels(options: KernelOptions = {}): Promise<void> {
  loading ??= fetchKernels(options).catch((error: unknown) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function fetchKernels({ folder, signal }: KernelOptions): Promise<void> {
  const file = bestWasmFile();
  // Written out so that bundlers see that these files belong to the page.
  const beside =
    file === 'tensor.wasm'
      ? new URL('../../../tensor/prebuilds/wasm/tensor.wasm', import.meta.url)
      : new URL('../../../tensor/prebuilds/wasm/tensor-relaxed.wasm', import.meta.url);
  const base = (globalThis as { location?: { href: string } }).location?.href ?? import.meta.url;
  const url = folder === undefined ? beside : new URL(`${String(folder).replace(/\/$/, '')}/${file}`, base);
  let response: Response;
  try {
    response = await fetch(url, signal ? { signal } : {});
  } catch (cause) {
    signal?.throwIfAborted();
    throw new KernelFetchError(url.href, cause instanceof Error ? cause.message : String(cause), { cause });
  }
  if (!response.ok) throw new KernelFetchError(url.href, `the server answers ${String(response.status)}`);
  provideWasm(new Uint8Array(await response.arrayBuffer()));
}
