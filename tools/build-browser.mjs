// Bundles @llm/runtime for browsers: packages/runtime/dist/browser/bundle.js, one module that imports nothing. Node's
// modules are replaced by those in packages/runtime/src/browser, which work on files that a page hands over.
//   node tools/build-browser.mjs
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { build } from 'esbuild';
import { root } from './run.mjs';

const browser = join(root, 'packages/runtime/src/browser');
const backend = join(root, 'packages/tensor/src/backend');
const require = createRequire(import.meta.url);

/** Files that stand for others in browsers. */
const replaced = {
  [join(backend, 'wasm-file.ts')]: join(browser, 'wasm-file.ts'),
  [join(backend, 'wasm-thread.ts')]: join(backend, 'wasm-thread-browser.ts'),
  [join(backend, 'native.ts')]: join(browser, 'native.ts'),
};

const nodeModules = {
  'node:buffer': require.resolve('buffer/'),
  'node:fs': join(browser, 'virtual-files.ts'),
};

const platform = {
  name: 'platform',
  setup({ onResolve }) {
    onResolve({ filter: /^node:/ }, ({ path }) => ({ path: nodeModules[path] ?? join(browser, 'node-modules.ts') }));
    onResolve({ filter: /\/(wasm-file|wasm-thread|native)\.ts$/ }, ({ path, resolveDir }) => {
      const file = join(resolveDir, path);
      return { path: replaced[file] ?? file };
    });
  },
};

const start = performance.now();
const { metafile } = await build({
  entryPoints: [join(browser, 'index.ts')],
  outfile: join(root, 'packages/runtime/dist/browser/bundle.js'),
  bundle: true,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  conditions: ['@llm/source', 'browser'],
  inject: [join(browser, 'globals.ts')],
  plugins: [platform],
  minify: true,
  legalComments: 'linked',
  metafile: true,
  logLevel: 'warning',
});
const [{ bytes }] = Object.entries(metafile.outputs).flatMap(([path, output]) =>
  path.endsWith('.js') ? [output] : [],
);
const seconds = ((performance.now() - start) / 1000).toFixed(1);
console.log(`browser: built packages/runtime/dist/browser/bundle.js (${Math.round(bytes / 1024)} KiB) in ${seconds} s`);
