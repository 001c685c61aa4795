// docs/architecture.md is one picture that must stay true: the packages it shows are those in packages/, the arrows are those
// that package.json files and the lint rule allow, and every path and link it names exists.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from './run.mjs';

const page = join(root, 'docs/architecture.md');
const text = readFileSync(page, 'utf8');
const picture = /^```\n(.*?)^```$/ms.exec(text)?.[1] ?? '';
const names = readdirSync(join(root, 'packages'));
const problems = [];

const drawn = new Set([...picture.matchAll(/@llm\/([a-z]+)/g)].map((match) => match[1]));
for (const name of names) if (!drawn.has(name)) problems.push(`the picture lacks @llm/${name}`);
for (const name of drawn) if (!names.includes(name)) problems.push(`the picture has @llm/${name}, which is no package`);

// "tensor ← models ← runtime": each name may import whatever stands before it in its chain.
const allowed = new Map(names.map((name) => [name, new Set()]));
const chains = [...text.matchAll(/[a-z]+(?: ← [a-z]+)+/g)].map((match) => match[0].split(' ← '));
if (chains.length === 0) problems.push('no chain of arrows such as "tensor ← models ← runtime"');
for (const chain of chains) {
  chain.forEach((name, index) => {
    if (!allowed.has(name)) problems.push(`the arrows name ${name}, which is no package`);
    for (const below of chain.slice(0, index)) allowed.get(name)?.add(below);
  });
}

for (const name of names) {
  const { dependencies } = JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8'));
  const declared = Object.keys(dependencies).flatMap((key) => (key.startsWith('@llm/') ? [key.slice(5)] : []));
  const imported = new Set(
    sources(join(root, 'packages', name, 'src'))
      .flatMap(importsOf)
      .filter((to) => to !== name),
  );
  for (const to of declared) {
    if (!allowed.get(name).has(to)) problems.push(`${name} depends on ${to} against the arrows`);
    if (!imported.has(to)) problems.push(`${name} depends on ${to} but imports nothing of it`);
  }
  for (const to of imported) if (!declared.includes(to)) problems.push(`${name} imports ${to} without depending on it`);
}
for (const chain of chains) {
  chain.slice(1).forEach((name, index) => {
    const manifest = readFileSync(join(root, 'packages', name, 'package.json'), 'utf8');
    if (!manifest.includes(`"@llm/${chain[index]}"`))
      problems.push(`${name} does not depend on ${chain[index]} as drawn`);
  });
}

for (const [, path] of text.matchAll(/`((?:packages|tools|docs)\/[^`]+)`/g))
  if (!existsSync(join(root, path))) problems.push(`${path} does not exist`);
for (const [, link] of text.matchAll(/\]\((?!https?:)([^)#]+)/g))
  if (!existsSync(join(dirname(page), link))) problems.push(`the link to ${link} is dead`);

for (const problem of problems) console.error(`architecture: ${problem}`);
if (problems.length > 0) process.exit(1);
console.log(`architecture: ${names.length} packages and their arrows are as docs/architecture.md shows them`);

function sources(folder) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.name.endsWith('.test.ts'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

function importsOf(file) {
  return [...readFileSync(file, 'utf8').matchAll(/from '@llm\/([a-z]+)'|import\('@llm\/([a-z]+)'\)/g)].map(
    (match) => match[1] ?? match[2],
  );
}
