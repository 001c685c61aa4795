import type { Architecture, HfConfig } from '../architecture.ts';
import { UnsupportedArchitectureError } from '../errors.ts';
import { falcon } from './falcon.ts';
import { gemma2 } from './gemma2.ts';
import { gemma3 } from './gemma3.ts';
import { gpt2 } from './gpt2.ts';
import { gptBigCode } from './gpt-bigcode.ts';
import { gptNeoX } from './gpt-neox.ts';
import { gptJ } from './gptj.ts';
import { llama } from './llama.ts';
import { mistral } from './mistral.ts';
import { mpt } from './mpt.ts';
import { opt } from './opt.ts';
import { phi3 } from './phi3.ts';
import { qwen2 } from './qwen2.ts';
import { qwen3 } from './qwen3.ts';
import { smolLm3 } from './smollm3.ts';
import { stableLm } from './stablelm.ts';

/** Every architecture. A new one is a file beside this and a line here. */
export const architectures: readonly Architecture[] = [
  ...[llama, mistral, qwen2, qwen3, smolLm3, phi3, stableLm, gemma2, gemma3],
  ...[gptNeoX, gptJ, gpt2, gptBigCode, falcon, mpt, opt],
];

/** The architecture of a config.json, by its `model_type`. @throws {@link UnsupportedArchitectureError} */
export function architectureOf(config: HfConfig): Architecture {
  const modelType = config['model_type'];
  const found = architectures.find(({ modelTypes }) => modelTypes.some((known) => known === modelType));
  if (found) return found;
  throw new UnsupportedArchitectureError(
    typeof modelType === 'string' ? modelType : '(none)',
    supported(),
    differencesFromLlama(config),
  );
}

/** The architecture of a GGUF file, by its `general.architecture`. @throws {@link UnsupportedArchitectureError} */
export function architectureOfGguf(name: string): Architecture {
  const found = architectures.find(({ gguf }) => gguf?.architecture === name);
  if (found) return found;
  const known = new Set(architectures.flatMap(({ gguf }) => (gguf ? [gguf.architecture] : [])));
  throw new UnsupportedArchitectureError(name, [...known]);
}

function supported(): string[] {
  return architectures.flatMap(({ modelTypes }) => modelTypes);
}

/** Keys of a config that say nothing about the forward pass, or what Llama's own defaults say. */
const neutralKeys = new Set([
  ...[
    'architectures',
    'model_type',
    'torch_dtype',
    'dtype',
    'transformers_version',
    'use_cache',
    'initializer_range',
    'auto_map',
  ],
  ...[
    'bos_token_id',
    'eos_token_id',
    'pad_token_id',
    'attention_dropout',
    'hidden_dropout',
    'pretraining_tp',
    'quantization_config',
  ],
  ...[
    '_name_or_path',
    'id2label',
    'label2id',
    'return_dict',
    'output_attentions',
    'output_hidden_states',
    'chunk_size_feed_forward',
  ],
]);

/** What a config has beyond Llama's keys; undefined if it does not look like Llama's. */
function differencesFromLlama(config: HfConfig): readonly string[] | undefined {
  const marks = ['hidden_size', 'num_hidden_layers', 'num_attention_heads', 'intermediate_size', 'rms_norm_eps'];
  if (marks.some((key) => config[key] === undefined)) return undefined;
  const known = new Set(Object.keys(llama.parse({})));
  return Object.keys(config).filter((key) => {
    const value = config[key];
    return !known.has(key) && !neutralKeys.has(key) && value !== null && value !== false;
  });
}
