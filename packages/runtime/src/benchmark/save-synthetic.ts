import { architectureOf, PACKED_METADATA, writeAtomically, writeSafetensors, type SafetensorsEntry } from '@llm/models';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { shapeNamed } from './shapes.ts';
import { SyntheticWeights, type SyntheticOptions } from './synthetic-weights.ts';

export interface SaveSyntheticOptions extends Partial<SyntheticOptions> {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly stage: string; readonly done: number; readonly total: number }) => void;
}

/**
 * Writes random weights of a named shape as a packed model folder, such as `quantize` makes: to see how a file of that size
 * loads. Its tokenizer knows as many words as the model, none of a language.
 * @param options default: int4-sym in groups of 32, embedding and head too
 * @throws InvalidOptionError for an unknown shape; WriteError where the system refuses a file
 */
export async function saveSynthetic(name: string, folder: string, options: SaveSyntheticOptions = {}): Promise<void> {
  const config = shapeNamed(name);
  const { graph, vocabularySize } = architectureOf(config).build(config);
  const { format = 'int4-sym', groupSize = 32, headFormat } = options;
  using weights = new SyntheticWeights(graph, { format, groupSize, ...(headFormat && { headFormat }) });
  const described: Record<string, unknown> = {};
  const entries: SafetensorsEntry[] = [];
  for (const node of graph.nodes) {
    if (node.op !== 'weight') continue;
    const { name } = node.attributes;
    const shape = node.shape as readonly number[];
    if (shape.length === 2) {
      described[name] = weights.format(name);
      entries.push({ name, dtype: 'U8', shape: [weights.byteLength(name)], data: () => weights.matrix(name).bytes() });
    } else {
      entries.push({
        name,
        dtype: 'F32',
        shape,
        data: () => new Uint8Array(weights.vector(name).buffer),
      });
    }
  }
  await mkdir(folder, { recursive: true });
  const { signal, onProgress } = options;
  await writeSafetensors(join(folder, 'model.safetensors'), entries, {
    metadata: { [PACKED_METADATA]: JSON.stringify(described), format: 'pt' },
    ...(signal && { signal }),
    ...(onProgress && { onProgress }),
  });
  const files = {
    'tokenizer.json': wordTokenizer(vocabularySize),
    'config.json': { ...config, quantization_config: { quant_method: 'llm-packed', version: 1, synthetic: name } },
  };
  for (const [file, content] of Object.entries(files))
    await writeAtomically(join(folder, file), (to) => to.write(new TextEncoder().encode(JSON.stringify(content))));
}

/** tokenizer.json of words between spaces, "w1" to the last; any other is "<unk>". */
function wordTokenizer(vocabularySize: number): object {
  const words = Array.from({ length: vocabularySize }, (_, id) => [id === 0 ? '<unk>' : `w${id}`, id]);
  return {
    version: '1.0',
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'WhitespaceSplit' },
    post_processor: null,
    decoder: { type: 'WordPiece', prefix: '##', cleanup: false },
    model: {
      type: 'WordPiece',
      unk_token: '<unk>',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(words) as Record<string, number>,
    },
  };
}
