/** What a thread of kernels gets: native/threads/pool_wasm.cc. */
export interface ThreadStart {
  readonly module: object;
  readonly memory: object;
  readonly part: number;
  /** Address just above the thread's stack. */
  readonly stackEnd: number;
  /** `performance.timeOrigin` of the caller: traces compare the clocks of all threads. */
  readonly timeOrigin: number;
}

/**
 * The program of such a thread, for Node's workers and for browsers': another instance on the same memory. Kernels call
 * nothing outside but the clock. Text and no file, so that bundles need not carry a second one.
 */
export const threadSource = `
function start({ module, memory, part, stackEnd, timeOrigin }) {
  const imports = { env: { memory } };
  for (const { module: group, name, kind } of WebAssembly.Module.imports(module))
    if (kind === 'function')
      (imports[group] ??= {})[name] = () => {
        throw new Error('a thread of kernels called ' + name);
      };
  imports.wasi_snapshot_preview1.clock_time_get = (clock, precision, address) => {
    const milliseconds = performance.timeOrigin - timeOrigin + performance.now();
    new DataView(memory.buffer).setBigUint64(address, BigInt(Math.round(milliseconds * 1e6)), true);
    return 0;
  };
  const { exports } = new WebAssembly.Instance(module, imports);
  exports.__stack_pointer.value = stackEnd;
  try {
    exports.llm_thread(part);
  } catch (error) {
    exports.llm_thread_failed();
    throw error;
  }
}
if (typeof require === 'function') start(require('node:worker_threads').workerData);
else onmessage = ({ data }) => start(data);
`;
