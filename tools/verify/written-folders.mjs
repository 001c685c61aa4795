// Writes a model as GPTQ, AWQ and compressed-tensors, with what this package reads of each beside it, for written-folders.py:
//   node tools/verify/written-folders.mjs MODEL FOLDER
// MODEL must hold 4-bit weights (`llm quantize`). Needs built packages.
import { join } from 'node:path';

const [source, folder] = process.argv.slice(2);
if (!source || !folder) throw new Error('usage: written-folders.mjs MODEL FOLDER');
const { convert } = await import(join(import.meta.dirname, '../../packages/models/dist/index.js'));
for (const to of ['gptq', 'awq', 'compressed-tensors']) {
  await convert(source, join(folder, to), { to });
  await convert(join(folder, to), join(folder, `${to}-dense`), { to: 'safetensors', type: 'F32' });
}
