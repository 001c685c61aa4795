// A registry on the loopback for the packages in dist: what `npm install @llm/runtime` will see once they are published. Every
// other package comes from the registry that the machine is configured for, because only the scope @llm is pointed here.
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root, runQuietly } from '../run.mjs';

/** Packs dist/packages and dist/platforms and serves them. `sizes` are of the tarballs, in bytes, by package. */
export async function startRegistry() {
  const tarballs = mkdtempSync(join(tmpdir(), 'llm-tarballs-'));
  const packages = new Map();
  for (const group of ['packages', 'platforms']) {
    for (const name of readdirSync(join(root, 'dist', group))) {
      const folder = join(root, 'dist', group, name);
      const shell = process.platform === 'win32';
      const args = ['pack', folder, '--silent', '--ignore-scripts', '--pack-destination', tarballs];
      const file = runQuietly('npm', args, { shell }).trim().split('\n').at(-1);
      const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
      packages.set(manifest.name, { manifest, file, tarball: readFileSync(join(tarballs, file)) });
    }
  }
  rmSync(tarballs, { recursive: true });

  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? '/');
    const file = /\/-\/(?<file>.+\.tgz)$/.exec(path)?.groups.file;
    const found = file
      ? [...packages.values()].find((entry) => entry.file === file)
      : packages.get(path.replace(/^\//, ''));
    if (!found) {
      response.writeHead(404, { 'content-type': 'application/json' }).end('{ "error": "not found" }');
    } else if (file) {
      response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(found.tarball);
    } else {
      const body = JSON.stringify(packument(found, `http://${request.headers.host}`));
      response.writeHead(200, { 'content-type': 'application/json' }).end(body);
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  server.unref();
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    sizes: new Map([...packages].map(([name, { tarball }]) => [name, tarball.byteLength])),
    close: () => server.close(),
  };
}

function packument({ manifest, file, tarball }, origin) {
  const dist = {
    tarball: `${origin}/${manifest.name}/-/${file}`,
    shasum: createHash('sha1').update(tarball).digest('hex'),
    integrity: `sha512-${createHash('sha512').update(tarball).digest('base64')}`,
  };
  const { name, version } = manifest;
  return {
    name,
    'dist-tags': { latest: version },
    versions: { [version]: { ...manifest, dist } },
    time: {
      created: '2020-01-01T00:00:00.000Z',
      modified: '2020-01-01T00:00:00.000Z',
      [version]: '2020-01-01T00:00:00.000Z',
    },
  };
}
