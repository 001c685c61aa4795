// Type-checks the TypeScript blocks of the documentation, each as a module of its own, against the packages' sources. Blocks
// that import nothing are excerpts and are left out.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';

const root = join(import.meta.dirname, '..');
// Inside node_modules, so that packages are found, and nothing else looks there.
const folder = join(root, 'node_modules/.cache/examples');

const pages = ['README.md', 'docs', 'packages'].flatMap((path) => markdown(join(root, path)));

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
let count = 0;
for (const page of pages) {
  for (const [index, [, code]] of [...readFileSync(page, 'utf8').matchAll(/^```ts\n(.*?)^```$/gms)].entries()) {
    if (!/^import /m.test(code)) continue;
    const name = `${relative(root, page).replaceAll(/[^\w]+/g, '-')}-${index + 1}.mts`;
    writeFileSync(join(folder, name), `${code}\nexport {};\n`);
    count++;
  }
}
writeFileSync(
  join(folder, 'tsconfig.json'),
  JSON.stringify({
    extends: relative(folder, join(root, 'tsconfig.base.json')),
    compilerOptions: { noEmit: true, composite: false, declarationMap: false, isolatedDeclarations: false },
    include: ['*.mts'],
  }),
);
const { status } = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder], {
  stdio: 'inherit',
});
console.log(`examples: ${count} blocks of ${pages.length} pages ${status === 0 ? 'compile' : 'were checked'}`);
process.exitCode = status ?? 1;

function markdown(path) {
  if (path.endsWith('.md')) return [path];
  return readdirSync(path, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.md'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .filter((file) => !/node_modules|fixtures|third_party/.test(file));
}
