// Type-checks the TypeScript blocks of the documentation, each as a module of its own against the packages' sources, and runs
// them on small models in a folder of their own, with built packages (npm run build, npm run native). Blocks that import
// nothing are excerpts and are left out; what stands in <!-- not run: why --> before a block is not run.
//   node tools/check-examples.mjs [--only PAGE] [--types]      --types: does not run them
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { transformSync } from '@swc/core';

const { values: options } = parseArgs({ options: { only: { type: 'string' }, types: { type: 'boolean' } } });
const root = join(import.meta.dirname, '..');
// Inside node_modules, so that packages are found, and nothing else looks there.
const folder = join(root, 'node_modules/.cache/examples');

const pages = ['README.md', 'CONTRIBUTING.md', 'docs', 'packages']
  .flatMap((path) => markdown(join(root, path)))
  .filter((page) => options.only === undefined || page.includes(options.only));

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const examples = [];
for (const page of pages) {
  const blocks = readFileSync(page, 'utf8').matchAll(/(<!-- not run: (.*?) -->\s*)?^```ts\n(.*?)^```$/gms);
  for (const [index, [, , notRun, code]] of [...blocks].entries()) {
    if (!/^import /m.test(code)) continue;
    const name = `${relative(root, page).replaceAll(/[^\w]+/g, '-')}-${index + 1}`;
    writeFileSync(join(folder, `${name}.mts`), `${code}\nexport {};\n`);
    examples.push({ name, code, notRun });
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
console.log(
  `examples: ${examples.length} blocks of ${pages.length} pages ${status === 0 ? 'compile' : 'were checked'}`,
);
process.exitCode = status ?? 1;
if (status === 0 && !options.types) await runAll();

async function runAll() {
  for (const { name, notRun } of examples) if (notRun) console.log(`examples: ${name} is not run: ${notRun}`);
  const waiting = examples.filter(({ notRun }) => !notRun);
  const total = waiting.length;
  let failed = 0;
  const worker = async () => {
    for (let example = waiting.shift(); example; example = waiting.shift()) {
      const problem = await runExample(example);
      if (problem === undefined) continue;
      failed++;
      console.error(`examples: ${example.name} fails\n${problem}`);
    }
  };
  await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, worker));
  console.log(`examples: ${total - failed} of ${total} run`);
  if (failed > 0) process.exitCode = 1;
}

/** Runs one beside the models and texts that the documentation speaks of. Resolves to what went wrong. */
function runExample({ name, code }) {
  const home = join(folder, name);
  mkdirSync(home);
  const demo = join(root, 'packages/cli/models/stories-llama-5m');
  for (const model of ['stories-llama-5m', 'model', 'my-model', 'llama-2-7b', 'model-int4', 'llama-2-7b-int4'])
    if (!code.includes(`output: './${model}'`)) symlinkSync(demo, join(home, model));
  // The same model with a chat template, in place of one that was taught to chat.
  const chat = join(home, 'SmolLM2-135M-Instruct.Q4_1.gguf');
  cpSync(demo, chat, { recursive: true });
  const config = JSON.parse(readFileSync(join(chat, 'tokenizer_config.json'), 'utf8'));
  const template = '{% for message in messages %}{{ message.content }} {% endfor %}';
  writeFileSync(join(chat, 'tokenizer_config.json'), JSON.stringify({ ...config, chat_template: template }));
  const text = readFileSync(join(root, 'tools/demo/story.txt'), 'utf8').repeat(8);
  writeFileSync(join(home, 'text.txt'), text);
  writeFileSync(join(home, 'text.jsonl'), `${JSON.stringify({ text })}\n`.repeat(8));
  const settings = { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'es6' } };
  writeFileSync(join(home, 'example.mjs'), transformSync(code, settings).code);
  return new Promise((resolve) => {
    let output = '';
    const child = spawn(process.execPath, ['example.mjs'], {
      cwd: home,
      env: { ...process.env, NODE_OPTIONS: '' },
      timeout: 300_000,
    });
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    child.on('close', (exit, signal) => resolve(exit === 0 ? undefined : `${signal ?? ''}${output.slice(-1500)}`));
  });
}

function markdown(path) {
  if (path.endsWith('.md')) return [path];
  return readdirSync(path, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.md'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .filter((file) => !/node_modules|fixtures|third_party/.test(file));
}
