// Builds and runs the native tests, native/**/x_test.cc: each is a program, linked with everything but the addon's glue.
//   node tools/native/run-native-tests.mjs [plain] [address] [thread] [arm64] [part of a test's path]
// Default: plain, address and thread. arm64 cross-compiles and runs under QEMU, as the newest CPU and as one without
// dot products (Debian: apt-get install g++-aarch64-linux-gnu qemu-user).
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { instructionSets } from '../../packages/tensor/native/instruction-sets.mjs';
import { sources, testSources } from '../../packages/tensor/native/sources.mjs';
import { fingerprint, isFresh, writeStamp } from '../fingerprint.mjs';
import { root, run } from '../run.mjs';

const modes = {
  plain: ['-O2'],
  address: ['-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-fno-omit-frame-pointer'],
  thread: ['-O1', '-g', '-fsanitize=thread'],
  // Linked as a whole, the stand-ins of memory/old_runtimes_os.cc meet what they stand for.
  arm64: ['-O2', '-static', '-Wl,--allow-multiple-definition'],
};
const defaultModes = ['plain', 'address', 'thread'];

const packageRoot = join(root, 'packages/tensor');
const compilerOf = (mode) => (mode === 'arm64' ? 'aarch64-linux-gnu-g++' : (process.env.CXX ?? 'g++'));
const emulators = ['max', 'cortex-a72'].map((cpu) => ['qemu-aarch64', '-cpu', cpu]);
const words = process.argv.slice(2);
const chosen = Object.keys(modes).filter((mode) => words.includes(mode));
const filter = words.find((word) => !(word in modes)) ?? '';
const tests = testSources().filter((test) => test.includes(filter));

let failed = 0;
for (const mode of chosen.length > 0 ? chosen : defaultModes) failed += runMode(mode);
process.exitCode = failed > 0 ? 1 : 0;

function runMode(mode) {
  const folder = join(packageRoot, 'build/native-tests', mode);
  mkdirSync(folder, { recursive: true });
  const library = join(folder, 'libtensor.a');
  const programs = tests.map((test) => join(folder, basename(test, '.cc')));
  const stamp = join(folder, '.inputs');
  const hash = fingerprint([join(packageRoot, 'native'), import.meta.filename], [compilerOf(mode), filter]);
  if (!isFresh(stamp, hash) || !programs.every(existsSync)) {
    make(makefile(mode, folder, library, programs));
    writeStamp(stamp, hash);
  }
  let failures = 0;
  // Without address randomization: older sanitizers fail on the high addresses of newer kernels.
  const runners = mode === 'arm64' ? emulators : [['setarch', '-R']];
  for (const [runner, ...args] of runners)
    for (const program of programs) {
      const { status, signal, error } = spawnSync(runner, [...args, program], { cwd: folder, stdio: 'inherit' });
      if (error) throw error;
      if (status !== 0) failures += 1;
      const name = [mode, ...args.slice(1), basename(program)].join(' ');
      console.log(`native-tests: ${name} ${status === 0 ? 'passed' : `failed (${signal ?? status})`}`);
    }
  return failures;
}

function makefile(mode, folder, library, programs) {
  const common = [
    '-std=c++20',
    '-fno-exceptions',
    '-fno-math-errno',
    '-ffp-contract=off',
    '-Wall',
    '-Wextra',
    '-Inative',
  ];
  const objectOf = (source) => join(folder, `${source.replaceAll('/', '_')}.o`);
  const rule = (source, flags = []) => {
    const object = objectOf(source);
    const command = [
      compilerOf(mode),
      ...common,
      ...modes[mode],
      ...flags,
      '-MMD',
      '-MP',
      '-c',
      source,
      '-o',
      object,
    ].join(' ');
    return { object, text: `${object}: ${source}\n\t${command}\n-include ${object.slice(0, -2)}.d\n` };
  };
  const isas = Object.entries(instructionSets[mode === 'arm64' ? 'arm64' : process.arch] ?? {});
  const shared = [
    ...sources('baseline')
      .filter((source) => !source.startsWith('native/addon/'))
      .map((source) => rule(source)),
    ...isas.flatMap(([isa, flags]) => sources(isa).map((source) => rule(source, flags))),
  ];
  const main = tests.map((source) => rule(source));
  const objects = shared.map(({ object }) => object);
  const links = programs.map(
    (program, i) =>
      `${program}: ${main[i].object} ${library}\n\t${compilerOf(mode)} ${modes[mode].join(' ')} $^ -o $@ -pthread\n`,
  );
  return [
    `all: ${programs.join(' ')}\n`,
    `${library}: ${objects.join(' ')}\n\trm -f $@ && ar rcs $@ $^\n`,
    ...[...shared, ...main].map(({ text }) => text),
    ...links,
  ].join('\n');
}

function make(text) {
  const options = { cwd: packageRoot, input: text, stdio: ['pipe', 'ignore', 'inherit'] };
  const code = run('make', ['--file=-', `--jobs=${availableParallelism()}`, 'all'], options);
  if (code !== 0) process.exit(code);
}
