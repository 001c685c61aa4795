import { ModelNotFoundError } from '../errors.ts';

/** Everything but weights that a model needs. */
const sideFiles = ['*.json', '*.jinja', 'tokenizer.model', 'merges.txt', 'vocab.txt', 'LICENSE*', 'README.md'];

/**
 * The files of a repository that make up the model: those that `include` names, or configuration, tokenizer and the weights in
 * the best of the formats that are there. Throws `ModelNotFoundError` where there is nothing, or too much, to choose from.
 */
export function chooseFiles(name: string, files: readonly string[], include?: readonly string[]): readonly string[] {
  if (include) {
    const chosen = matching(files, include);
    if (chosen.length > 0) return chosen;
    throw new ModelNotFoundError(`hf:${name}`, `none of its files match ${include.join(', ')}`);
  }
  const top = files.filter((file) => !file.includes('/'));
  const side = matching(top, sideFiles);
  for (const pattern of ['*.safetensors', 'pytorch_model*.bin']) {
    const weights = matching(top, [pattern]);
    if (weights.length > 0) return [...side, ...weights];
  }
  const gguf = matching(top, ['*.gguf']);
  if (gguf.length === 1) return [...side, ...gguf];
  const reason =
    gguf.length === 0 ? 'it has no weights that can be read' : `choose one of its files: ${gguf.join(', ')}`;
  throw new ModelNotFoundError(`hf:${name}`, reason);
}

function matching(files: readonly string[], patterns: readonly string[]): string[] {
  const expressions = patterns.map((pattern) => new RegExp(`^${pattern.split('*').map(escape).join('.*')}$`, 'u'));
  return files.filter((file) => expressions.some((expression) => expression.test(file)));
}

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/gu, '\\$&');
}
