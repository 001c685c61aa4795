// Loads the GGUF files that `convert` writes into llama.cpp and compares what both continue greedily:
//   node tools/verify/written-gguf.mjs FOLDER MODEL...
// FOLDER is where the npm package node-llama-cpp (with its prebuilt llama.cpp) is installed. Needs built packages. Every model is
// written in every type; the last column is the number of tokens that agree from the start.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, ...sources] = process.argv.slice(2);
if (!folder || sources.length === 0) throw new Error('usage: written-gguf.mjs FOLDER MODEL...');

const root = join(import.meta.dirname, '../..');
const { convert } = await import(join(root, 'packages/models/dist/index.js'));
const { Model } = await import(join(root, 'packages/runtime/dist/index.js'));
const { getLlama } = await import(pathToFileURL(join(folder, 'node_modules/node-llama-cpp/dist/index.js')).href);

const TOKENS = 32;
const PROMPT = 'Once upon a time';

const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, logLevel: 'error', maxThreads: 1 });

async function theirs(modelPath, prompt) {
  const model = await llama.loadModel({ modelPath });
  const context = await model.createContext({ contextSize: 128, threads: 1 });
  const tokens = [];
  for await (const token of context.getSequence().evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    tokens.push(token);
    if (tokens.length === TOKENS) break;
  }
  const tokenized = model.tokenize(PROMPT);
  await model.dispose();
  return { tokens, tokenized };
}

/** Step by step from all logits: the plainest way to continue. */
async function ours(path, prompt) {
  const model = await Model.load(path, { compute: 'f32', threads: 1, contextLength: 128 });
  const tokens = [];
  while (tokens.length < TOKENS) {
    const logits = await model.logits([...prompt, ...tokens]);
    const last = logits.subarray(logits.length - model.vocabularySize);
    tokens.push(last.reduce((best, logit, i) => (logit > last[best] ? i : best), 0));
  }
  const tokenized = model.tokenizer.encode(PROMPT, { addSpecialTokens: false });
  await model.dispose();
  return { tokens, tokenized };
}

const scratch = mkdtempSync(join(tmpdir(), 'llm-verify-'));
try {
  for (const source of sources) {
    for (const type of ['F32', 'F16', 'Q8_0', 'Q4_0', 'Q4_1']) {
      const file = join(scratch, `${type}.gguf`);
      await convert(source, file, { to: 'gguf', type });
      const model = await Model.load(file, { threads: 1, contextLength: 128 });
      const prompt = model.tokenizer.encode(PROMPT);
      await model.dispose();
      const [a, b] = [await ours(file, prompt), await theirs(file, prompt)];
      const differs = a.tokens.findIndex((token, i) => token !== b.tokens[i]);
      const same = differs < 0 ? TOKENS : differs;
      const text =
        String(a.tokenized) === String(b.tokenized) ? 'same tokens of the prompt' : 'OTHER tokens of the prompt';
      console.log(`${basename(source)} ${type}: ${text}, ${same} of ${TOKENS} greedy tokens agree`);
      rmSync(file);
    }
  }
} finally {
  rmSync(scratch, { recursive: true });
}
process.exit(0);
