import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { KernelFetchError } from './errors.ts';
import { wasmBytes } from './wasm-file.ts';

const realFetch = globalThis.fetch;
let loadKernels: (typeof import('./kernels.ts'))['loadKernels'];

function serve(answer: (url: string) => Response | Error): string[] {
  const asked: string[] = [];
  globalThis.fetch = (url) => {
    asked.push(String(url instanceof Request ? url.url : url));
    const result = answer(asked.at(-1) ?? '');
    return result instanceof Error ? Promise.reject(result) : Promise.resolve(result);
  };
  return asked;
}

beforeEach(async () => {
  jest.resetModules();
  ({ loadKernels } = await import('./kernels.ts'));
});

afterEach(() => {
  globalThis.fetch = realFetch;
});

test('before the kernels are there, calls say what to do', () => {
  expect(() => wasmBytes()).toThrow('await loadKernels()');
});

test('a server without them is named, and may be asked again', async () => {
  serve(() => new Response('', { status: 404 }));
  const first: unknown = await loadKernels({ folder: 'https://example.test/wasm/' }).catch((error: unknown) => error);
  expect(first).toMatchObject({ code: 'KERNEL_FETCH', message: expect.stringContaining('answers 404') as unknown });
  serve(() => new TypeError('Failed to fetch'));
  const second: unknown = await loadKernels({ folder: 'https://example.test/wasm/' }).catch((error: unknown) => error);
  expect(second).toMatchObject({ name: KernelFetchError.name, url: expect.stringMatching(/wasm\/tensor/) as unknown });
});

test('they are fetched once, from the folder given', async () => {
  const asked = serve(() => new Response(new Uint8Array([1, 2, 3])));
  await Promise.all([loadKernels({ folder: 'https://example.test/w' }), loadKernels()]);
  expect(asked).toHaveLength(1);
  expect(asked[0]).toMatch(/^https:\/\/example\.test\/w\/tensor(-relaxed)?\.wasm$/);
  const { wasmBytes: fetched } = await import('./wasm-file.ts');
  expect([...fetched()]).toEqual([1, 2, 3]);
});
