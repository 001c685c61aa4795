// Lists C++ sources by folder, for binding.gyp and every other build, so that a new file needs no line there.
//   node native/sources.mjs baseline | wasm | <isa>
//   node native/sources.mjs flags <isa>
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { instructionSets } from './instruction-sets.mjs';

const native = import.meta.dirname;
const folders = readdirSync(native, { withFileTypes: true }).filter(
  (entry) => entry.isDirectory() && entry.name !== 'targets',
);

/** Relative to the package's root, with forward slashes. */
export function sources(set) {
  if (set !== 'baseline' && set !== 'wasm') return targets([set]);
  // x_os.cc needs an operating system, x_wasm.cc stands for it where there is none.
  const other = set === 'wasm' ? '_os.cc' : '_wasm.cc';
  const shared = folders.flatMap(({ name: folder }) =>
    list(folder)
      .filter((name) => !name.endsWith(other) && !name.endsWith('_test.cc'))
      .map((name) => `native/${folder}/${name}`),
  );
  return [...shared, ...targets(set === 'wasm' ? ['scalar'] : ['scalar', 'emulated'])].sort();
}

/** The native tests: each is a program of its own. */
export function testSources() {
  return folders.flatMap(({ name: folder }) =>
    list(folder)
      .filter((name) => name.endsWith('_test.cc'))
      .map((name) => `native/${folder}/${name}`),
  );
}

/** Files are named <isa>_<family>.cc, and an instruction set may be the beginning of another's name. */
function targets(sets) {
  return list('targets')
    .filter((name) => sets.includes(name.replace(/_[a-z0-9]+\.cc$/, '')))
    .map((name) => `native/targets/${name}`);
}

function list(folder) {
  return readdirSync(join(native, folder)).filter((name) => name.endsWith('.cc'));
}

if (process.argv[1] === import.meta.filename) {
  const [set, isa] = process.argv.slice(2);
  const lines = set === 'flags' ? Object.values(instructionSets).find((sets) => isa in sets)[isa] : sources(set);
  console.log(lines.join('\n'));
}
