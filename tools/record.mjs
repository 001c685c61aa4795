// Records the command line for the README: runs each session for real and writes docs/recordings/<name>.svg, an animation of
// text in the reader's light or dark colours, without scripts or fonts of its own.
//   node tools/record.mjs [name …]      needs built packages (npm run build) and the addon (npm run native)
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './run.mjs';

const sessions = {
  run: ['llm run stories-llama-5m "Once upon a time" -n 72 --quiet'],
  quantize: [
    'llm quantize stories-llama-5m --group-size 64 -o stories-int4 --quiet',
    'llm inspect stories-int4 --memory --context 512 | head -12',
    'llm run stories-int4 "The little dog" -n 32 --quiet',
  ],
};

const columns = 96;
const longest = 8; // seconds
const [characterWidth, lineHeight, margin] = [8.4, 20, 18];

const wanted = process.argv.slice(2);
mkdirSync(join(root, 'docs/recordings'), { recursive: true });
for (const [name, commands] of Object.entries(sessions)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const folder = mkdtempSync(join(tmpdir(), 'llm-record-'));
  try {
    const pieces = [];
    let clock = 0;
    for (const command of commands) {
      // A person types for a while, then looks at the answer.
      pieces.push({ at: clock, text: '$ ', kind: 'prompt' });
      for (const [index, character] of [...command].entries())
        pieces.push({ at: clock + 0.3 + index * 0.02, text: character, kind: 'typed' });
      const started = clock + 0.6 + command.length * 0.02;
      pieces.push({ at: started, text: '\n', kind: 'output' });
      const output = await record(command, folder);
      pieces.push(...output.map(({ at, text }) => ({ at: started + at, text, kind: 'output' })));
      clock = started + (output.at(-1)?.at ?? 0) + 0.8;
    }
    const file = join(root, `docs/recordings/${name}.svg`);
    const svg = draw(pieces, commands.join('; '));
    writeFileSync(file, svg);
    console.log(`record: docs/recordings/${name}.svg, ${(svg.length / 1024).toFixed(1)} KiB`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What a command prints and when, in seconds after the first of it, no longer than `longest` altogether. */
function record(command, cwd) {
  return new Promise((resolve, reject) => {
    const pieces = [];
    let first;
    const script = `llm() { ${JSON.stringify(process.execPath)} ${JSON.stringify(join(root, 'packages/cli/bin/llm.js'))} "$@"; }; ${command}`;
    const child = spawn('bash', ['-c', script], { cwd, env: { ...process.env, NODE_OPTIONS: '', NO_COLOR: '1' } });
    const add = (chunk) => {
      first ??= performance.now();
      pieces.push({ at: (performance.now() - first) / 1000, text: String(chunk) });
    };
    child.stdout.on('data', add);
    child.stderr.on('data', add);
    child.on('error', reject);
    child.on('close', (code) => {
      if (code !== 0)
        return reject(new Error(`${command} ended with ${code}:\n${pieces.map(({ text }) => text).join('')}`));
      const factor = Math.min(1, longest / Math.max(pieces.at(-1)?.at ?? 0, 0.001));
      return resolve(pieces.map(({ at, text }) => ({ at: at * factor, text })));
    });
  });
}

function draw(pieces, title) {
  const spans = [];
  let [row, column] = [0, 0];
  for (const { at, text, kind } of pieces) {
    for (const part of text.split(/(\n|\s+)/).filter((piece) => piece !== '')) {
      if (part.includes('\n')) {
        row += part.split('\n').length - 1;
        column = part.length - part.lastIndexOf('\n') - 1;
        continue;
      }
      if (column > 0 && column + part.trimEnd().length > columns) [row, column] = [row + 1, 0];
      if (column === 0 && part.trim() === '' && kind !== 'output') continue;
      const last = spans.at(-1);
      const joined = last?.row === row && last.end === column && last.kind === kind && at - last.at < 0.05;
      if (joined) [last.text, last.end] = [last.text + part, last.end + part.length];
      else spans.push({ at, row, column, end: column + part.length, kind, text: part });
      column += part.length;
    }
  }
  const rows = Math.max(...spans.map((span) => span.row)) + 1;
  const [width, height] = [Math.ceil(columns * characterWidth + 2 * margin), rows * lineHeight + 2 * margin];
  const lines = spans.map(
    ({ at, row: line, column: start, kind, text }) =>
      `<text class="${kind}" x="${(margin + start * characterWidth).toFixed(1)}" y="${margin + line * lineHeight + 14}"` +
      ` textLength="${(text.length * characterWidth).toFixed(1)}" style="animation-delay:${at.toFixed(2)}s">${escaped(text)}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>${escaped(title)}</title>
<style>
rect { fill: #f6f8fa; stroke: #d0d7de }
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1f2328; white-space: pre; opacity: 0; animation: show 1ms forwards }
.prompt { fill: #59636e }
.typed { font-weight: 600; fill: #0a3069 }
@keyframes show { to { opacity: 1 } }
@media (prefers-color-scheme: dark) {
  rect { fill: #161b22; stroke: #30363d }
  text { fill: #e6edf3 }
  .prompt { fill: #8b949e }
  .typed { fill: #a5d6ff }
}
@media (prefers-reduced-motion: reduce) { text { animation: none; opacity: 1 } }
</style>
<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8" />
${lines.join('\n')}
</svg>
`;
}

function escaped(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
