// Writes what is published to dist/packages/<name> and dist/platforms/<platform>, from built packages (npm run build) and
// from the binaries in packages/tensor/prebuilds. Against a workspace's own folders, published packages
//   - name no sources for tests (the condition @llm/source) and carry no source maps without sources;
//   - hold one platform's binary each: @llm/tensor has the others as optional dependencies and itself only WebAssembly;
//   - install without compiling anything, also by yarn 1;
//   - have what loads slowly or is large (emnapi, zod) inside, in one file each;
//   - have their own modules in one file, with a file more for each group of them that is imported only when it is needed:
//     importing some two hundred files took more than half of the time of importing @llm/runtime.
//   node tools/release/stage.mjs [--all-platforms]     --all-platforms: a missing binary is an error, as for a release
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { build } from 'esbuild';
import { root, runQuietly } from '../run.mjs';
import { platforms } from './platforms.mjs';

const out = join(root, 'dist');
const prebuilds = join(root, 'packages/tensor/prebuilds');
const names = readdirSync(join(root, 'packages'));

rmSync(join(out, 'packages'), { recursive: true, force: true });
rmSync(join(out, 'platforms'), { recursive: true, force: true });
const binaries = platforms.filter(({ file }) => existsSync(join(prebuilds, file)));
const missing = platforms.filter((platform) => !binaries.includes(platform)).map(({ name }) => name);
if (missing.length > 0 && process.argv.includes('--all-platforms')) {
  console.error(`stage: no binary for ${missing.join(', ')} in ${prebuilds}`);
  process.exit(1);
}

const listed = JSON.parse(
  runQuietly('npm', ['pack', '--workspaces', '--dry-run', '--json', '--silent'], {
    shell: process.platform === 'win32',
  }),
);
for (const name of names) {
  const files = listed.find((entry) => entry.name === `@llm/${name}`).files.map(({ path }) => path);
  stagePackage(name, files);
}
await bundleDependencies(join(out, 'packages/tensor'), ['@emnapi/core', '@emnapi/runtime']);
await bundleDependencies(join(out, 'packages/models'), ['zod']);
for (const name of names) await joinModules(join(out, 'packages', name));
for (const platform of binaries) stagePlatform(platform);
console.log(
  `stage: ${names.length} packages and ${binaries.length} platforms in dist` +
    (missing.length > 0 ? `; without ${missing.join(', ')}` : ''),
);

function stagePackage(name, files) {
  const from = join(root, 'packages', name);
  const to = join(out, 'packages', name);
  for (const file of files) {
    if (file === 'package.json' || file.endsWith('.map') || file.endsWith('.node')) continue;
    mkdirSync(dirname(join(to, file)), { recursive: true });
    if (file === 'binding.gyp') {
      // Under its own name, yarn 1 would compile it at every installation, whatever the manifest says.
      copyFileSync(join(from, file), join(to, 'build-native.gyp'));
      continue;
    }
    if (/^dist\/.*\.(js|d\.ts)$/.test(file)) {
      const text = readFileSync(join(from, file), 'utf8');
      writeFileSync(join(to, file), text.replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n'));
    } else copyFileSync(join(from, file), join(to, file));
  }
  copyFileSync(join(root, 'LICENSE'), join(to, 'LICENSE'));
  const manifest = published(JSON.parse(readFileSync(join(from, 'package.json'), 'utf8')));
  if (name === 'tensor') {
    manifest.files = manifest.files.map((file) => (file === 'binding.gyp' ? 'build-native.gyp' : file));
    manifest.optionalDependencies = Object.fromEntries(
      binaries.map((platform) => [`@llm/tensor-${platform.name}`, manifest.version]),
    );
  }
  writeManifest(to, manifest);
}

function stagePlatform({ name, file, os, cpu, libc }) {
  const to = join(out, 'platforms', name);
  const { version, license, engines } = JSON.parse(readFileSync(join(root, 'packages/tensor/package.json'), 'utf8'));
  cpSync(join(prebuilds, file), join(to, 'prebuilds', file));
  copyFileSync(join(root, 'LICENSE'), join(to, 'LICENSE'));
  const system = [os, cpu, libc].filter(Boolean).join(' ');
  writeFileSync(
    join(to, 'README.md'),
    `# @llm/tensor-${name}\n\nThe native kernels of [@llm/tensor](https://www.npmjs.com/package/@llm/tensor) for ${system}. ` +
      'Installed by itself as an optional dependency.\n',
  );
  const manifest = { name: `@llm/tensor-${name}`, version, description: `Native kernels of @llm/tensor for ${system}` };
  const fields = { license, engines, os: [os], cpu: [cpu], ...(libc ? { libc: [libc] } : {}), files: ['prebuilds'] };
  writeManifest(to, published({ ...manifest, ...fields }));
}

/** Without what only this workspace uses. A release names its repository, which provenance is checked against. */
function published(source) {
  const manifest = Object.fromEntries(
    Object.entries(source).filter(([name]) => name !== 'nx' && name !== 'devDependencies'),
  );
  const exports = JSON.parse(
    JSON.stringify(manifest.exports ?? null, (key, value) => (key === '@llm/source' ? undefined : value)),
  );
  const repository = process.env.GITHUB_REPOSITORY;
  return {
    ...manifest,
    ...(exports ? { exports } : {}),
    ...(repository ? { repository: { type: 'git', url: `git+https://github.com/${repository}.git` } } : {}),
    publishConfig: { access: 'public' },
  };
}

function writeManifest(folder, manifest) {
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

/**
 * One file of each package instead of the package, with its licence beside it: fewer bytes, and one file to load instead of a
 * hundred. Where the package's own declarations name it, <name>.d.ts beside this script says what they need.
 */
async function bundleDependencies(folder, names) {
  const target = join(folder, 'dist/third-party');
  const fileOf = (name) => join(target, `${name.replace('@', '').replace('/', '-')}.js`);
  for (const name of names) {
    await build({
      stdin: { contents: `export * from '${name}';`, resolveDir: root },
      outfile: fileOf(name),
      ...{ bundle: true, minify: true, format: 'esm', platform: 'neutral', mainFields: ['module', 'main'] },
      ...{ target: 'es2022', legalComments: 'none', external: ['node:*'] },
    });
    copyFileSync(join(root, 'node_modules', name, 'LICENSE'), `${fileOf(name)}.LICENSE`);
    const declarations = join(import.meta.dirname, `${name}.d.ts`);
    if (existsSync(declarations)) copyFileSync(declarations, fileOf(name).replace(/js$/, 'd.ts'));
  }
  for (const entry of readdirSync(join(folder, 'dist'), { recursive: true })) {
    const path = join(folder, 'dist', entry);
    if (!/\.(js|d\.ts)$/.test(entry) || entry.startsWith('third-party')) continue;
    const text = readFileSync(path, 'utf8');
    const rewritten = text.replace(/(from\s+|import\()'([^']+)'/g, (whole, before, name) => {
      if (!names.includes(name)) return whole;
      const local = relative(dirname(path), fileOf(name)).replaceAll('\\', '/');
      return `${before}'${local.startsWith('.') ? local : `./${local}`}'`;
    });
    if (rewritten !== text) writeFileSync(path, rewritten);
  }
  const { dependencies, ...manifest } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const kept = Object.fromEntries(Object.entries(dependencies).filter(([name]) => !names.includes(name)));
  writeManifest(folder, { ...manifest, dependencies: kept });
}

/** Replaces the modules in dist by what esbuild makes of them; declarations, other packages and the browser's bundle stay. */
async function joinModules(folder) {
  const dist = join(folder, 'dist');
  const modules = readdirSync(dist, { recursive: true })
    .filter((file) => file.endsWith('.js') && !/^(third-party|browser)[\\/]/.test(file))
    .map((file) => join(dist, file));
  const { outputFiles } = await build({
    entryPoints: modules.filter((file) => dirname(file) === dist && /[\\/](index|main)\.js$/.test(file)),
    outdir: dist,
    ...{ bundle: true, splitting: true, format: 'esm', platform: 'node', target: 'node20', write: false },
    ...{ packages: 'external', external: [join(dist, 'third-party/*')], legalComments: 'inline' },
  });
  for (const file of modules) rmSync(file);
  for (const { path, text } of outputFiles) writeFileSync(path, text);
}
