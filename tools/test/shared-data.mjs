// Where tests find models and reference outputs. The shared data are optional: a test that needs them must skip itself.
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');
const folder = process.env.LLM_SHARED_DATA ?? join(root, '../shared/data');

/** The absolute path of a shared file or folder; undefined where it is absent. */
export function sharedData(...path) {
  const file = join(folder, ...path);
  return existsSync(file) ? file : undefined;
}

/** The folder of the model that ships with the command line: bf16 safetensors, always there. */
export function demoModel() {
  return join(root, 'packages/cli/models/stories-llama-5m');
}
