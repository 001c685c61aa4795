// Serves this example from a checkout, to this machine only.
//   node docs/examples/browser/serve.mjs [--port 8080] [--isolated]
// --isolated: with the headers that give a page SharedArrayBuffer. The example works with and without.
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const root = join(import.meta.dirname, '../../..');

/** What is served, the longest beginning first. */
const folders = [
  ['/packages/runtime/dist/browser/', join(root, 'packages/runtime/dist/browser')],
  ['/packages/tensor/prebuilds/wasm/', join(root, 'packages/tensor/prebuilds/wasm')],
  ['/model/', join(root, 'packages/cli/models/stories-llama-5m')],
  ['/', import.meta.dirname],
];

const types = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

// The page may talk to this server and to nobody else.
const policy = [
  "default-src 'none'",
  "connect-src 'self'",
  "img-src data: 'self'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "worker-src 'self' blob:", // threads of kernels have no file
  "form-action 'none'",
  "base-uri 'none'",
].join('; ');

export function createExampleServer({ isolated = false } = {}) {
  return createServer((request, response) => {
    response.setHeader('Content-Security-Policy', policy);
    response.setHeader('X-Content-Type-Options', 'nosniff');
    response.setHeader('Cache-Control', 'no-cache');
    if (isolated) {
      response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
      response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') return response.writeHead(405).end();
    const file = fileFor(request.url);
    if (file === undefined) return response.writeHead(404).end('Not found');
    response.writeHead(200, {
      'Content-Type': types[extname(file)] ?? 'application/octet-stream',
      'Content-Length': statSync(file).size,
    });
    if (request.method === 'HEAD') return response.end();
    createReadStream(file).pipe(response);
  });
}

function fileFor(url) {
  let path;
  try {
    path = decodeURIComponent(new URL(url, 'http://localhost').pathname);
  } catch {
    return undefined;
  }
  if (path === '/') path = '/index.html';
  if (path.includes('\0') || normalize(path) !== path) return undefined;
  const [prefix, folder] = folders.find(([start]) => path.startsWith(start));
  const file = join(folder, path.slice(prefix.length));
  return existsSync(file) && statSync(file).isFile() ? file : undefined;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const bundle = join(root, 'packages/runtime/dist/browser/bundle.js');
  const wasm = join(root, 'packages/tensor/prebuilds/wasm/tensor.wasm');
  for (const [file, command] of [
    [bundle, 'node tools/build-browser.mjs'],
    [wasm, 'npm run wasm'],
  ])
    if (!existsSync(file)) {
      console.error(`serve: ${file} is missing. Build it: ${command}`);
      process.exit(1);
    }
  const options = { port: { type: 'string', default: '8080' }, isolated: { type: 'boolean', default: false } };
  const { port, isolated } = parseArgs({ options }).values;
  const server = createExampleServer({ isolated }).listen(Number(port), '127.0.0.1', () => {
    console.log(`serve: http://127.0.0.1:${server.address().port}/`);
  });
}
