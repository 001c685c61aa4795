// The same prompt continued greedily by llama.cpp and here, for the checks of written GGUF files.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from '../run.mjs';

const { Model } = await import(join(root, 'packages/runtime/dist/index.js'));

/** llama.cpp of the npm package node-llama-cpp in a folder, on one thread. */
export async function openLlama(folder) {
  const { getLlama } = await import(pathToFileURL(join(folder, 'node_modules/node-llama-cpp/dist/index.js')).href);
  return await getLlama({ gpu: false, build: 'never', skipDownload: true, logLevel: 'error', maxThreads: 1 });
}

export async function theirs(llama, modelPath, prompt, count) {
  const model = await llama.loadModel({ modelPath });
  const context = await model.createContext({ contextSize: 64, threads: 1 });
  const tokens = [];
  for await (const token of context.getSequence().evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    tokens.push(token);
    if (tokens.length === count) break;
  }
  await model.dispose();
  return tokens;
}

/** Step by step from all logits: the plainest way to continue. */
export async function ours(path, prompt, count) {
  const model = await Model.load(path, { compute: 'f32', threads: 1, contextLength: 64 });
  const tokens = [];
  while (tokens.length < count) {
    const logits = await model.logits([...prompt, ...tokens]);
    const last = logits.subarray(logits.length - model.vocabularySize);
    tokens.push(last.reduce((best, logit, i) => (logit > last[best] ? i : best), 0));
  }
  await model.dispose();
  return tokens;
}

/** How many tokens agree from the start. */
export function agreeing(some, others) {
  const differs = some.findIndex((token, i) => token !== others[i]);
  return differs < 0 ? some.length : differs;
}
