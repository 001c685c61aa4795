import type { GgufFile } from '../../architecture.ts';
import { architectureOfGguf } from '../../architectures/registry.ts';
import { InvalidConfigError, MissingWeightError, TokenizerError } from '../../errors.ts';
import { LoadedCheckpoint } from '../../loaded-checkpoint.ts';
import { StoredFile } from '../../stored-file.ts';
import { dequantize } from './dequantize.ts';
import { readGgufHeader, type GgufHeader, type GgufTensor } from './header.ts';
import type { GgufMetadata } from './metadata.ts';
import { tokenizerJsonFromGguf } from './tokenizer.ts';
import { GgufWeights } from './weights.ts';

/** Opens a GGUF file: configuration, weights, tokenizer and chat template are all inside. */
export function openGguf(path: string): LoadedCheckpoint {
  const header = readGgufHeader(path);
  const { metadata } = header;
  const name = metadata.string('general.architecture');
  if (name === undefined) throw new InvalidConfigError(path, 'general.architecture', 'it is missing');
  const architecture = architectureOfGguf(name);
  const mapping = architecture.gguf;
  if (!mapping) throw new InvalidConfigError(path, 'general.architecture', `${name} is not read from GGUF`);
  const file = new StoredFile(path);
  const config = architecture.parse(mapping.config(asGgufFile(header, file)));
  const bosTokenId = metadata.integer('tokenizer.ggml.bos_token_id');
  return new LoadedCheckpoint({
    path,
    config,
    generationConfig: {},
    architecture,
    eosTokenIds: eosTokenIds(metadata),
    bosTokenId,
    weights: new GgufWeights(file, header.tensors, mapping, config),
    chatTemplate: chatTemplate(metadata),
    tokenizerSource: () => {
      const json = tokenizerJsonFromGguf(metadata);
      if (!json) throw new TokenizerError(path, 'the file has no tokenizer');
      return { file: path, json, config: chatTemplate(metadata)?.tokens ?? {} };
    },
    companionFiles: () => companionsOfGguf(metadata),
  });
}

function asGgufFile({ metadata, tensors }: GgufHeader, file: StoredFile): GgufFile {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const get = (name: string): GgufTensor => {
    const tensor = byName.get(name);
    if (!tensor) throw new MissingWeightError(file.path, name);
    return tensor;
  };
  return {
    metadata: metadata.entries,
    has: (name) => byName.has(name),
    shape: (name) => get(name).shape,
    read(name) {
      const { type, offset, byteLength } = get(name);
      return dequantize(type, file.storage.read(offset, byteLength));
    },
  };
}

/** The ends of a text and of a turn. */
function eosTokenIds(metadata: GgufMetadata): readonly number[] {
  const ids = ['eos', 'eot', 'eom'].map((name) => metadata.integer(`tokenizer.ggml.${name}_token_id`));
  return [...new Set(ids.filter((id) => id !== undefined))];
}

/** The folder's files that say what the metadata say. */
function companionsOfGguf(metadata: GgufMetadata): Map<string, Uint8Array> {
  const template = chatTemplate(metadata);
  const [ends, begin] = [eosTokenIds(metadata), metadata.integer('tokenizer.ggml.bos_token_id')];
  const files: Record<string, unknown> = {
    'tokenizer.json': tokenizerJsonFromGguf(metadata),
    'tokenizer_config.json': template && { ...template.tokens, chat_template: template.source },
    'generation_config.json': { ...(begin !== undefined && { bos_token_id: begin }), eos_token_id: ends },
  };
  const given = Object.entries(files).filter(([, content]) => content !== undefined);
  return new Map(given.map(([name, content]) => [name, Buffer.from(JSON.stringify(content, null, 2))]));
}

function chatTemplate(
  metadata: GgufMetadata,
): { readonly source: string; readonly tokens: Readonly<Record<string, string>> } | undefined {
  const source = metadata.string('tokenizer.chat_template');
  if (source === undefined) return undefined;
  const vocabulary = metadata.strings('tokenizer.ggml.tokens') ?? [];
  const tokens: Record<string, string> = {};
  for (const [name, key] of [
    ['bos_token', 'bos'],
    ['eos_token', 'eos'],
    ['unk_token', 'unknown'],
    ['pad_token', 'padding'],
  ] as const) {
    const text = vocabulary[metadata.integer(`tokenizer.ggml.${key}_token_id`) ?? -1];
    if (text !== undefined) tokens[name] = text;
  }
  return { source, tokens };
}
