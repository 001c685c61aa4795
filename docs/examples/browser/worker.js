// The model's thread. Messages in: load, generate, stop. Messages out: progress, loaded, text, done, error.
import { Model, cpuInfo, loadKernels, mountFiles, runningThreads } from '/packages/runtime/dist/browser/bundle.js';

let model;
let session;
let generation;

const handlers = {
  async load({ files }) {
    await model?.dispose();
    model = session = undefined;
    await loadKernels();
    const mounted = await mountFiles(files);
    model = await Model.load(mounted.path, {
      weights: 'int4',
      onProgress: (progress) => postMessage({ type: 'progress', ...progress }),
    });
    mounted[Symbol.dispose]();
    if (model.chatTemplate) session = model.session();
    const { isa } = cpuInfo();
    postMessage({
      type: 'loaded',
      chat: session !== undefined,
      bytes: model.memory.total,
      isa,
      isolated: crossOriginIsolated,
    });
  },

  async generate({ prompt, temperature, maxTokens }) {
    const options = { temperature, maxTokens };
    generation = session
      ? session.generate([{ role: 'user', content: prompt }], options)
      : model.generate(prompt, options);
    const start = performance.now();
    let first;
    let tokens = 0;
    for await (const part of generation.parts) {
      if (part.type === 'finish') {
        const { usage, reason } = part;
        postMessage({
          type: 'done',
          reason,
          tokens: usage.generatedTokens,
          seconds: usage.generateSeconds,
          threads: runningThreads(),
        });
      } else {
        first ??= performance.now();
        tokens += part.tokens.length;
        const seconds = (performance.now() - first) / 1000;
        postMessage({ type: 'text', text: part.text, tokens, seconds, wait: (first - start) / 1000 });
      }
    }
  },

  stop() {
    generation?.cancel();
  },
};

onmessage = async ({ data }) => {
  try {
    await handlers[data.type](data);
  } catch (error) {
    postMessage({ type: 'error', code: error.code ?? error.name, message: error.message });
  }
};

postMessage({ type: 'ready' });
