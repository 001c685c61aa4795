// Installs the packages as users will, from a registry on the loopback, into empty projects of every package manager, Node
// version, runtime and bundler that npm has, and lets each write a sentence. Prints what worked, sizes and times.
//   node tools/install-matrix.mjs [--only npm,pnpm,…] [--tools FOLDER] [--json FILE] [--keep]
// Needs built packages and binaries: npm run build, node tools/native/build.mjs --prebuild, npm run wasm. Programs from npm
// are kept in FOLDER (default: in the system's temporary folder).
import { chmodSync, cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createProject, exec, expected, sizeOf } from './install/project.mjs';
import { startRegistry } from './install/registry.mjs';
import { tool } from './install/tools.mjs';
import { binOf, root, runQuietly } from './run.mjs';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    tools: { type: 'string', default: join(tmpdir(), 'llm-install-tools') },
    json: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
});

runQuietly(process.execPath, [join(root, 'tools/release/stage.mjs')]);
const registry = await startRegistry();
const work = mkdtempSync(join(tmpdir(), 'llm-matrix-'));
const model = join(work, 'model');
cpSync(join(root, 'packages/cli/models/stories-llama-5m'), model, { recursive: true });

const project = (name) => createProject(join(work, name), registry.url, model);
const npmInstall = (cwd, ...more) => exec('npm', ['install', '@llm/runtime', ...more], { cwd });
const withTool = (name) => tool(name, options.tools);

/** One project of npm that several cases use. */
let shared;
async function installed() {
  shared ??= (async () => {
    const cwd = project('npm');
    const { seconds } = await npmInstall(cwd);
    return { cwd, seconds };
  })();
  return shared;
}

async function writes(program, args, { warns = false, ...where }) {
  const ran = await exec(program, args, where);
  if (!ran.out.includes(expected)) throw new Error(`wrote ${ran.out}${ran.notes}`);
  if (warns !== /runs on WebAssembly/.test(ran.notes)) throw new Error(`unexpected backend: ${ran.notes}`);
  return ran;
}

async function manager(name, args) {
  const cwd = project(name);
  const program = await withTool(name);
  const { seconds } = await exec(process.execPath, [program, ...args], { cwd });
  const used = await writes(process.execPath, ['use.mjs'], { cwd });
  return { installed: seconds, used: used.seconds, bytes: sizeOf(join(cwd, 'node_modules')) };
}

async function bundle(name, build) {
  const { cwd } = await installed();
  const file = await build(await withTool(name), cwd);
  return { used: (await writes(process.execPath, [file], { cwd })).seconds, bundled: sizeOf(join(cwd, file, '..')) };
}

async function underNode(name, args = ['use.mjs']) {
  const { cwd } = await installed();
  return { used: (await writes(await withTool(name), args, { cwd })).seconds };
}

const cases = {
  manifests: () => checkPackages(),
  npm: async () => {
    const { cwd, seconds } = await installed();
    const used = await writes(process.execPath, ['use.mjs'], { cwd });
    return { installed: seconds, used: used.seconds, bytes: sizeOf(join(cwd, 'node_modules')) };
  },
  require: async () => {
    const { cwd } = await installed();
    return { used: (await writes(process.execPath, ['use.cjs'], { cwd })).seconds };
  },
  cli: async () => {
    const cwd = project('cli');
    const { seconds } = await exec('npm', ['install', '@llm/cli'], { cwd });
    const llm = (...args) => exec('npx', ['--no-install', 'llm', ...args], { cwd });
    await llm('--version');
    const { out } = await llm('doctor', '--json', '--no-measure');
    if (JSON.parse(out).backend !== 'native') throw new Error(out);
    const used = await writes(
      'npx',
      ['--no-install', 'llm', 'run', 'stories-llama-5m', 'Once upon a time', '-n', '12'],
      { cwd },
    );
    return { installed: seconds, used: used.seconds, bytes: sizeOf(join(cwd, 'node_modules')) };
  },
  'npm --ignore-scripts': async () => {
    const cwd = project('ignore-scripts');
    const { seconds } = await npmInstall(cwd, '--ignore-scripts');
    return { installed: seconds, used: (await writes(process.execPath, ['use.mjs'], { cwd })).seconds };
  },
  'no platform package': async () => {
    const cwd = project('wasm');
    const { seconds } = await npmInstall(cwd, '--omit=optional');
    const used = await writes(process.execPath, ['use.mjs'], { cwd, warns: true });
    return { installed: seconds, used: used.seconds, bytes: sizeOf(join(cwd, 'node_modules')) };
  },
  'LLM_BACKEND=wasm': async () => {
    const { cwd } = await installed();
    return { used: (await writes(process.execPath, ['use.mjs'], { cwd, env: { LLM_BACKEND: 'wasm' } })).seconds };
  },
  'llm-build-native': async () => {
    const cwd = project('compiled');
    const { seconds } = await npmInstall(cwd, '--omit=optional');
    await exec('npx', ['--no-install', 'llm-build-native'], { cwd, timeout: 900_000 });
    return { installed: seconds, used: (await writes(process.execPath, ['use.mjs'], { cwd })).seconds };
  },
  'path with spaces and ünïcode': async () => {
    const cwd = project('ein Ordner – 模型');
    const { seconds } = await npmInstall(cwd);
    return { installed: seconds, used: (await writes(process.execPath, ['use.mjs'], { cwd })).seconds };
  },
  'read-only': async () => {
    const cwd = project('read-only');
    const { seconds } = await npmInstall(cwd);
    chmodSync(work, 0o755);
    setWritable(cwd, false);
    try {
      // Permissions do not hold root back.
      const uid = process.getuid?.() === 0 ? 65534 : undefined;
      const used = await writes(process.execPath, ['use.mjs'], { cwd, uid, env: { HOME: '/nonexistent' } });
      return { installed: seconds, used: used.seconds };
    } finally {
      setWritable(cwd, true);
    }
  },
  worker_thread: async () => {
    const { cwd } = await installed();
    return { used: (await writes(process.execPath, ['worker.mjs'], { cwd })).seconds };
  },
  pnpm: () => manager('pnpm', ['add', '@llm/runtime']),
  yarn: () => manager('yarn', ['add', '@llm/runtime', '--no-progress']),
  'node-22': () => underNode('node-22'),
  'node-24': () => underNode('node-24'),
  bun: async () => {
    const cwd = project('bun');
    const bun = await withTool('bun');
    const { seconds } = await exec(bun, ['add', '@llm/runtime'], { cwd });
    const used = await writes(bun, ['use.mjs'], { cwd });
    return { installed: seconds, used: used.seconds, bytes: sizeOf(join(cwd, 'node_modules')) };
  },
  deno: () => underNode('deno', ['run', '--allow-all', '--node-modules-dir=manual', 'use.mjs']),
  esbuild: () =>
    bundle('esbuild', async (program, cwd) => {
      const flags = ['--bundle', '--platform=node', '--format=esm', '--minify', '--log-level=error'];
      await exec(process.execPath, [program, 'use.mjs', ...flags, '--outfile=esbuild/use.mjs'], { cwd });
      return 'esbuild/use.mjs';
    }),
  'esbuild to CommonJS': () =>
    bundle('esbuild', async (program, cwd) => {
      const flags = ['--bundle', '--platform=node', '--format=cjs', '--minify', '--log-level=error'];
      await exec(process.execPath, [program, 'use.cjs', ...flags, '--outfile=esbuild-cjs/use.cjs'], { cwd });
      return 'esbuild-cjs/use.cjs';
    }),
  webpack: () =>
    bundle('webpack', async (program, cwd) => {
      const config = {
        ...{ mode: 'production', target: 'node20', entry: './use.mjs' },
        output: { path: join(cwd, 'webpack'), filename: 'use.mjs', module: true, chunkFormat: 'module' },
        experiments: { outputModule: true },
      };
      writeFileSync(join(cwd, 'webpack.config.mjs'), `export default ${JSON.stringify(config)};\n`);
      await exec(process.execPath, [program, '--config', 'webpack.config.mjs'], { cwd });
      return 'webpack/use.mjs';
    }),
  vite: () =>
    bundle('vite', async (program, cwd) => {
      const config = {
        ...{ logLevel: 'error', ssr: { noExternal: true } },
        build: {
          ssr: 'use.mjs',
          outDir: 'vite',
          target: 'node20',
          rollupOptions: { output: { entryFileNames: 'use.mjs' } },
        },
      };
      writeFileSync(join(cwd, 'vite.config.mjs'), `export default ${JSON.stringify(config)};\n`);
      await exec(process.execPath, [program, 'build'], { cwd });
      return 'vite/use.mjs';
    }),
  'linux-arm64 (qemu)': async () => {
    const cwd = project('arm64');
    await npmInstall(cwd, '--cpu=arm64', '--os=linux', '--libc=glibc');
    const node = await withTool('node-arm64');
    const args = ['-L', '/usr/aarch64-linux-gnu', '-cpu', 'max', node, 'use.mjs'];
    return { used: (await writes('qemu-aarch64', args, { cwd, env: { LLM_THREADS: '1' } })).seconds };
  },
};

const wanted = options.only?.split(',') ?? Object.keys(cases);
const unknown = wanted.filter((name) => !(name in cases));
if (unknown.length > 0) {
  console.error(`install-matrix: no case ${unknown.join(', ')}; there are: ${Object.keys(cases).join(', ')}`);
  process.exit(2);
}

const results = [];
for (const name of wanted) {
  try {
    const result = await cases[name]();
    results.push({ name, ...result });
    console.log(`install-matrix: ${name} works ${describe(result)}`.trimEnd());
  } catch (error) {
    results.push({ name, error: error instanceof Error ? error.message : String(error) });
    console.error(`install-matrix: ${name} FAILED\n${results.at(-1).error}`);
    process.exitCode = 1;
  }
}
const packed = [...registry.sizes]
  .filter(([name]) => /tensor$|models$|runtime$/.test(name))
  .reduce((sum, [, size]) => sum + size, 0);
const largest = Math.max(...[...registry.sizes].filter(([name]) => /tensor-/.test(name)).map(([, size]) => size));
console.log(
  `install-matrix: tarballs of @llm/runtime for one platform: ${megabytes(packed + largest)}, without those of others`,
);
console.log(`\n${markdown()}`);
if (options.json) writeFileSync(options.json, `${JSON.stringify({ node: process.version, results }, null, 2)}\n`);
registry.close();
if (options.keep) console.log(`install-matrix: kept ${work}`);
else rmSync(work, { recursive: true, force: true });

/** What readers of a package's manifest and types would trip over. */
async function checkPackages() {
  for (const name of readdirSync(join(root, 'dist/packages'))) {
    const folder = join(root, 'dist/packages', name);
    await exec(process.execPath, [binOf('publint'), folder, '--strict'], { cwd: root });
    const attw = binOf('@arethetypeswrong/cli', 'attw');
    await exec(process.execPath, [attw, '--pack', folder, '--profile', 'esm-only', '--quiet'], { cwd: root });
  }
  return {};
}

function setWritable(folder, writable) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) setWritable(path, writable);
    else if (entry.isFile()) chmodSync(path, writable ? 0o644 : 0o444);
  }
  chmodSync(folder, writable ? 0o755 : 0o555);
}

function describe({ installed: install, used, bytes, bundled }) {
  return [
    install === undefined ? [] : `installed in ${install.toFixed(1)} s`,
    used === undefined ? [] : `ran in ${used.toFixed(1)} s`,
    bytes === undefined ? [] : megabytes(bytes),
    bundled === undefined ? [] : `bundle of ${megabytes(bundled)}`,
  ]
    .flat()
    .join(', ');
}

function markdown() {
  const rows = results.map(({ name, error, installed: install, used, bytes, bundled }) => [
    name,
    error ? 'fails' : 'works',
    install?.toFixed(1) ?? '',
    used?.toFixed(1) ?? '',
    (bytes ?? bundled) === undefined ? '' : megabytes(bytes ?? bundled),
  ]);
  const lines = [['case', '', 'install, s', 'run, s', 'unpacked'], ['---', '---', '---:', '---:', '---:'], ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
