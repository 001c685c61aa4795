// Loads the GGUF files that `convert` writes into llama.cpp and compares what both continue greedily:
//   node tools/verify/written-gguf.mjs FOLDER MODEL...
// FOLDER is where the npm package node-llama-cpp (with its prebuilt llama.cpp) is installed. Needs built packages. Every model is
// written in every type; the last column is the number of tokens that agree from the start.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { root } from '../run.mjs';
import { agreeing, openLlama, ours, theirs } from './continue-greedily.mjs';

const [folder, ...sources] = process.argv.slice(2);
if (!folder || sources.length === 0) throw new Error('usage: written-gguf.mjs FOLDER MODEL...');

const { convert } = await import(join(root, 'packages/models/dist/index.js'));
const { Model } = await import(join(root, 'packages/runtime/dist/index.js'));

const TOKENS = 32;
const PROMPT = 'Once upon a time';

const llama = await openLlama(folder);

const scratch = mkdtempSync(join(tmpdir(), 'llm-verify-'));
try {
  for (const source of sources) {
    for (const type of ['F32', 'F16', 'Q8_0', 'Q4_0', 'Q4_1']) {
      const file = join(scratch, `${type}.gguf`);
      await convert(source, file, { to: 'gguf', type });
      const model = await Model.load(file, { threads: 1, contextLength: 128 });
      const prompt = model.tokenizer.encode(PROMPT);
      const tokenized = model.tokenizer.encode(PROMPT, { addSpecialTokens: false });
      await model.dispose();
      const other = await llama.loadModel({ modelPath: file });
      const text =
        String(tokenized) === String(other.tokenize(PROMPT))
          ? 'same tokens of the prompt'
          : 'OTHER tokens of the prompt';
      await other.dispose();
      const same = agreeing(await ours(file, prompt, TOKENS), await theirs(llama, file, prompt, TOKENS));
      console.log(`${basename(source)} ${type}: ${text}, ${same} of ${TOKENS} greedy tokens agree`);
      rmSync(file);
    }
  }
} finally {
  rmSync(scratch, { recursive: true });
}
process.exit(0);
