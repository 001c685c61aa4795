// Empty projects that install the packages and use them, as users would.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export class CommandError extends Error {}

/** Runs a program and resolves to its output and seconds; not synchronously, because the registry answers from here. */
export function exec(program, args, { cwd, env = {}, uid, timeout = 300_000 } = {}) {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = spawn(program, args, {
      cwd,
      timeout,
      // A user's shell, not ours: no settings of the npm that started this.
      env: { ...withoutNpm(process.env), NODE_OPTIONS: '', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(uid === undefined ? {} : { uid, gid: uid }),
      shell: process.platform === 'win32' && !program.endsWith('.exe'),
    });
    let [out, notes] = ['', ''];
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (notes += chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) resolve({ out, notes, seconds: (performance.now() - start) / 1000 });
      else
        reject(
          new CommandError(
            `${program} ${args.join(' ')}: ${signal ?? `code ${code}`}\n${`${out}${notes}`.slice(-2000)}`,
          ),
        );
    });
  });
}

function withoutNpm(environment) {
  return Object.fromEntries(
    Object.entries(environment).filter(([name]) => !/^npm_(config_|package_|lifecycle_)/i.test(name)),
  );
}

/** What every project runs: the shipped model in INT4, and the first words that transformers writes with it too. */
export const expected = 'there was a little girl named Lily';
const body = (model) => `
  const model = await Model.load(${JSON.stringify(model)}, { weights: 'int4', compute: 'f32' });
  console.log(await model.generate('Once upon a time', { maxTokens: 12 }).text);
  await model.dispose();`;

export function createProject(folder, registry, model) {
  mkdirSync(folder, { recursive: true });
  const files = {
    'package.json': '{ "name": "project", "version": "1.0.0", "private": true }',
    '.npmrc': `@llm:registry=${registry}\nfund=false\naudit=false\nupdate-notifier=false\n`,
    'use.mjs': `import { Model } from '@llm/runtime';${body(model)}\n`,
    'use.cjs': `const { Model } = require('@llm/runtime');\n(async () => {${body(model)}\n})();\n`,
    'worker.mjs': `import { Worker, isMainThread } from 'node:worker_threads';
if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url));
  worker.on('exit', (code) => { process.exitCode = code; });
} else await import('./use.mjs');\n`,
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}

/** Bytes of a folder; files that are linked from elsewhere count once, links not at all. */
export function sizeOf(folder, seen = new Set()) {
  if (!existsSync(folder)) return 0;
  let sum = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) sum += sizeOf(path, seen);
    else if (entry.isFile()) {
      const { ino, size } = statSync(path);
      if (!seen.has(ino)) sum += size;
      seen.add(ino);
    }
  }
  return sum;
}
