// Lists C++ sources by folder, for binding.gyp and the WebAssembly build, so that a new file needs no line there.
//   node native/sources.mjs baseline | wasm | <isa>
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const native = import.meta.dirname;
const folders = readdirSync(native, { withFileTypes: true }).filter(
  (entry) => entry.isDirectory() && entry.name !== 'targets',
);

/** Relative to the package's root, with forward slashes. */
export function sources(set) {
  const isa =
    set === 'baseline' || set === 'wasm' ? ['scalar', 'emulated', ...(set === 'wasm' ? ['wasm'] : [])] : [set];
  const targets = list('targets').filter((name) => isa.some((prefix) => name.startsWith(`${prefix}_`)));
  if (set !== 'baseline' && set !== 'wasm') return targets.map((name) => `native/targets/${name}`);
  // x_os.cc needs an operating system, x_wasm.cc stands for it where there is none.
  const other = set === 'wasm' ? '_os.cc' : '_wasm.cc';
  const shared = folders.flatMap(({ name: folder }) =>
    list(folder)
      .filter((name) => !name.endsWith(other) && !name.endsWith('_test.cc'))
      .map((name) => `native/${folder}/${name}`),
  );
  return [...shared, ...targets.map((name) => `native/targets/${name}`)].sort();
}

function list(folder) {
  return readdirSync(join(native, folder)).filter((name) => name.endsWith('.cc'));
}

if (process.argv[1] === import.meta.filename) console.log(sources(process.argv[2]).join('\n'));
