// Compiles the addon on Linux for another platform, into prebuilds/<platform>/tensor.node, changed files only.
//   node tools/native/cross.mjs linux-arm64    by GCC    (Debian: apt-get install g++-aarch64-linux-gnu)
//   node tools/native/cross.mjs win32-x64      by clang  (Debian: apt-get install clang-19 g++-mingw-w64-x86-64-posix)
// Kernels are not compiled by GCC for Windows: it misaligns spilled vectors there (GCC bug 54412).
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { instructionSets } from '../../packages/tensor/native/instruction-sets.mjs';
import { sources } from '../../packages/tensor/native/sources.mjs';
import { headersBesideNode } from './headers.mjs';
import { binOf, root, runQuietly } from '../run.mjs';

const require = createRequire(import.meta.url);
const packageRoot = join(root, 'packages/tensor');

const builds = { 'linux-arm64': buildArm64, 'win32-x64': buildWindows };

const platform = process.argv[2] ?? '';
if (!(platform in builds)) {
  console.error(`usage: node tools/native/cross.mjs ${Object.keys(builds).join(' | ')}`);
  process.exit(2);
}
const start = performance.now();
const output = join(packageRoot, 'prebuilds', platform, 'tensor.node');
builds[platform]();
const kilobytes = Math.round(readFileSync(output).byteLength / 1024);
console.log(`cross: built ${platform} (${kilobytes} KiB) in ${((performance.now() - start) / 1000).toFixed(1)} s`);

/** node-gyp does this one; its build folder belongs to this machine's own addon and is left without either's objects. */
function buildArm64() {
  const cache = process.env.CXX?.startsWith('ccache ') ? 'ccache ' : '';
  runQuietly(process.execPath, [binOf('prebuildify'), '--napi', '--strip', '--name', 'tensor', '--arch', 'arm64'], {
    cwd: packageRoot,
    env: {
      ...process.env,
      ...headersBesideNode(),
      CC: `${cache}aarch64-linux-gnu-gcc`,
      CXX: `${cache}aarch64-linux-gnu-g++`,
      PREBUILD_STRIP_BIN: 'aarch64-linux-gnu-strip',
    },
    advice: 'It needs a compiler for arm64 (Debian: apt-get install g++-aarch64-linux-gnu).',
  });
  // Objects of another processor must not be linked into this one's addon.
  rmSync(join(packageRoot, 'build/Release'), { recursive: true, force: true });
  rmSync(join(packageRoot, 'build/.native-inputs'), { force: true });
}

/** node-gyp cannot: one clang call for each file, and MinGW's linker with the names that node.exe exports. */
function buildWindows() {
  const folder = join(packageRoot, 'build/win32-x64');
  mkdirSync(folder, { recursive: true });
  mkdirSync(dirname(output), { recursive: true });
  const library = importLibrary(folder);

  const cache = process.env.CXX?.startsWith('ccache ') ? 'ccache ' : '';
  const compiler = `${cache}clang++-19 --target=x86_64-w64-windows-gnu`;
  const flags = [
    ...[
      '-O3',
      '-std=c++20',
      '-fno-exceptions',
      '-fno-rtti',
      '-fno-math-errno',
      '-ffp-contract=off',
      '-Wall',
      '-Wextra',
    ],
    // The oldest Windows that Node 20 runs on.
    ...['-D_WIN32_WINNT=0x0A00', '-DNODE_ADDON_API_DISABLE_CPP_EXCEPTIONS', '-DNODE_ADDON_API_ENABLE_MAYBE'],
    ...['-DNODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS', '-DBUILDING_NODE_EXTENSION'],
    ...['-Inative', '-isystem', dirname(require.resolve('node-addon-api'))],
    ...['-isystem', require('node-api-headers').include_dir],
  ];
  const sets = [['baseline', []], ...Object.entries(instructionSets.x64)];
  const rules = sets.flatMap(([set, isaFlags]) =>
    sources(set).map((source) => {
      const object = join(folder, `${source.replaceAll('/', '_')}.o`);
      const own = isaFlags.filter((flag) => !flag.startsWith('-Wno-maybe'));
      const command = [compiler, ...flags, ...own, '-MMD', '-MP', '-c', source, '-o', object].join(' ');
      return { object, text: `${object}: ${source}\n\t${command}\n-include ${object.slice(0, -2)}.d\n` };
    }),
  );
  const link = [
    ...['x86_64-w64-mingw32-g++-posix', '-shared', '-static', '-s', '-Wl,--no-insert-timestamp', '$^', library],
    ...['-o', '$@'],
  ].join(' ');
  const text = [`${output}: ${rules.map(({ object }) => object).join(' ')}\n\t${link}\n`, ...rules.map((r) => r.text)];
  runQuietly('make', ['--file=-', `--jobs=${availableParallelism()}`, output], {
    cwd: packageRoot,
    input: text.join('\n'),
    advice: 'It needs clang and MinGW (Debian: apt-get install clang-19 g++-mingw-w64-x86-64-posix).',
  });
  checkImports();
}

function importLibrary(folder) {
  const { js_native_api_def, node_api_def } = require('node-api-headers').def_paths;
  const names = [js_native_api_def, node_api_def].map((file) => readFileSync(file, 'utf8').replace(/^.*EXPORTS/s, ''));
  const definition = join(folder, 'node.def');
  writeFileSync(definition, `NAME node.exe\nEXPORTS\n${names.join('\n')}`);
  const library = join(folder, 'libnode.a');
  runQuietly('x86_64-w64-mingw32-dlltool', ['--def', definition, '--output-lib', library]);
  return library;
}

/** Whatever is imported beyond Windows itself and node.exe would be missing on users' machines. */
function checkImports() {
  const allowed = ['kernel32.dll', 'msvcrt.dll', 'node.exe'];
  const text = runQuietly('x86_64-w64-mingw32-objdump', ['--private-headers', output]);
  const imported = [...text.matchAll(/DLL Name: (\S+)/g)].map((match) => match[1].toLowerCase());
  const strange = imported.filter((name) => !allowed.includes(name));
  console.log(`cross: imports ${imported.join(', ')}`);
  if (strange.length === 0 && imported.includes('node.exe')) return;
  console.error(`cross: ${strange.join(', ') || 'nothing of node.exe'} should not be so`);
  process.exit(1);
}
