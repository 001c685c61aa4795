import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import type { HfConfig } from '../../architecture.ts';
import { architectureOf } from '../../architectures/registry.ts';
import { InvalidConfigError, ModelNotFoundError, UnsupportedFormatError } from '../../errors.ts';
import { DividedActivations, storedDivisors } from '../../input-scales.ts';
import { parseGenerationConfig, tokenIds } from '../../generation-config.ts';
import { LoadedCheckpoint } from '../../loaded-checkpoint.ts';
import { readJsonObject } from '../../read-file.ts';
import type { WeightSource } from '../../weight-source.ts';
import { PackedWeights } from '../packed/weights.ts';
import { computesOf } from '../packed/computes.ts';
import { quantizationMethods, quantizedWeights } from '../quantized/config.ts';
import { DenseWeights } from '../safetensors/weights.ts';
import { companionsOfFolder } from './companion-files.ts';
import { chatTemplateOfFolder, tokenizerOfFolder } from './tokenizer-files.ts';
import { openWeightFiles, type WeightFiles } from './weight-files.ts';

/** Opens a folder as Hugging Face lays it out: config.json, weights, tokenizer. */
export function openFolder(path: string): LoadedCheckpoint {
  const names = new Set(readdirSync(path));
  if (!names.has('config.json')) throw new ModelNotFoundError(path, 'the folder has no config.json');
  const read = (name: string): HfConfig => (names.has(name) ? readJsonObject(join(path, name)) : {});
  const configPath = join(path, 'config.json');
  const stored = read('config.json');
  const architecture = architectureOf(stored);
  const parsed = architecture.parse(stored);
  const generationPath = join(path, 'generation_config.json');
  const generation = read('generation_config.json');
  const ids = (key: string): readonly number[] => {
    const own = tokenIds(generationPath, generation, key);
    return own.length > 0 ? own : tokenIds(configPath, parsed, key);
  };
  const generationConfig = parseGenerationConfig(generationPath, generation);
  const eosTokenIds = ids('eos_token_id');
  const bosTokenId = ids('bos_token_id')[0];
  const chatTemplate = chatTemplateOfFolder(path, names);
  const files = openWeightFiles(path, names);
  // AutoGPTQ's checkpoints of before 2024 say how they are quantized in a file of its own.
  const quantizeConfig = names.has('quantize_config.json')
    ? { quant_method: 'gptq', ...read('quantize_config.json') }
    : undefined;
  const quantization = parsed['quantization_config'] ?? quantizeConfig;
  if (quantization !== undefined && typeof quantization !== 'object')
    throw new InvalidConfigError(configPath, 'quantization_config', 'it must be an object');
  const divisors = storedDivisors(path, architecture, parsed, quantization ? files.tensors : []);
  const input_scales = [...divisors.values()];
  const config = divisors.size === 0 ? parsed : { ...parsed, quantization_config: { ...quantization, input_scales } };
  const weights = weightsOf(path, quantization as HfConfig | undefined, files, (name) =>
    architecture.isTransposed(name),
  );
  return new LoadedCheckpoint({
    path,
    config,
    generationConfig,
    architecture,
    eosTokenIds,
    bosTokenId,
    weights: divisors.size === 0 ? weights : new DividedActivations(weights, divisors),
    computes: computesOf(configPath, config['quantization_config'], files.tensors),
    chatTemplate,
    tokenizerSource: () => tokenizerOfFolder(path, names),
    companionFiles: () => companionsOfFolder(path, names),
  });
}

function weightsOf(
  path: string,
  quantization: HfConfig | undefined,
  files: WeightFiles,
  isTransposed: (name: string) => boolean,
): WeightSource {
  const dense = new DenseWeights(path, files.files, files.tensors, isTransposed, files.format);
  if (quantization === undefined) return dense;
  const method = quantization['quant_method'];
  if (method === 'llm-packed') return new PackedWeights(path, dense, files.metadata);
  const quantized = quantizedWeights(path, quantization, dense);
  if (quantized) return quantized;
  const known = quantizationMethods.join(', ');
  throw new UnsupportedFormatError(path, `its weights are quantized by ${JSON.stringify(method)}; known are ${known}`);
}
