#!/usr/bin/env node
// Compiles the addon from the C++ sources in this package, for a machine without a prebuilt binary, into build/Release, where
// it is found first. Only ever run by hand: installing runs nothing.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const packageRoot = join(import.meta.dirname, '..');
// It is published under this name, because yarn 1 compiles whatever has a binding.gyp.
const published = join(packageRoot, 'build-native.gyp');
const tools = mkdtempSync(join(tmpdir(), 'llm-build-native-'));

function run(program, args, options) {
  const { status, error } = spawnSync(program, args, { stdio: 'inherit', ...options });
  if (status === 0) return;
  throw new Error(
    `${[program, ...args].join(' ')} failed${error ? `: ${error.message}` : ''}\n` +
      'It needs a C++20 compiler, make and Python 3 (Debian: apt-get install g++ make python3).',
  );
}

try {
  console.log(`compiling the kernels of @llm/tensor in ${packageRoot}`);
  const shell = process.platform === 'win32';
  const packages = ['node-gyp@12.4.0', 'node-addon-api@8.9.2'];
  run('npm', ['install', '--prefix', tools, '--no-audit', '--no-fund', '--ignore-scripts', ...packages], { shell });
  if (existsSync(published)) copyFileSync(published, join(packageRoot, 'binding.gyp'));
  run(process.execPath, [join(tools, 'node_modules/node-gyp/bin/node-gyp.js'), 'rebuild', '--jobs', 'max'], {
    cwd: packageRoot,
    env: { ...process.env, NODE_PATH: join(tools, 'node_modules') },
  });
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  if (existsSync(published)) rmSync(join(packageRoot, 'binding.gyp'), { force: true });
  rmSync(tools, { recursive: true, force: true });
}
