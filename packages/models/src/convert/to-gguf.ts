import type { GgufMapping } from '../architecture.ts';
import type { TensorInfo } from '../checkpoint.ts';
import { InvalidWeightError, UnsupportedFormatError } from '../errors.ts';
import { dequantize } from '../formats/gguf/dequantize.ts';
import { metadataOfConfig, ropeFactors } from '../formats/gguf/metadata-of-config.ts';
import { metadataOfTokenizer } from '../formats/gguf/metadata-of-tokenizer.ts';
import { blocksOfMatrix, encodeBlocks, type WrittenType } from '../formats/gguf/quantize-blocks.ts';
import { ggufTypes, type GgufType } from '../formats/gguf/types.ts';
import { writeGguf, type GgufEntry, type GgufEntryValue } from '../formats/gguf/write.ts';
import { refuseInputScales } from '../input-scales.ts';
import type { LoadedCheckpoint } from '../loaded-checkpoint.ts';
import { largestError, type ConvertedWeight } from './report.ts';
import type { ConversionOptions } from './convert.ts';

/** Kinds of files, by the kind of most of their weights (`general.file_type`). */
const fileTypes: Readonly<Record<WrittenType, number>> = { F32: 0, F16: 1, Q4_0: 2, Q4_1: 3, Q8_0: 7 };
/** The version of the block layouts. */
const QUANTIZATION_VERSION = 2;

/** Writes a checkpoint as one GGUF file that llama.cpp loads: packed weights as the same grid, dense ones as `type`. */
export async function convertToGguf(
  checkpoint: LoadedCheckpoint,
  output: string,
  options: ConversionOptions,
): Promise<ConvertedWeight[]> {
  const { architecture, path, config } = checkpoint;
  const { gguf } = architecture;
  if (!gguf) throw new UnsupportedFormatError(path, `GGUF has no layout for ${architecture.name}`);
  refuseInputScales(checkpoint, 'gguf');
  const names = namesInFile(gguf, Number(config['num_hidden_layers'] ?? config['n_layer'] ?? config['n_layers'] ?? 0));
  const wanted = options.type === undefined || options.type === 'BF16' ? 'F16' : options.type;
  const weights: ConvertedWeight[] = [];
  const entries: GgufEntry[] = [];
  for (const info of checkpoint.tensors.values()) {
    const name = [info.name, ...architecture.aliases(info.name)].map((own) => names.get(own)).find(Boolean);
    if (name === undefined) {
      if (isBuffer(info.name)) continue;
      throw new InvalidWeightError(path, info.name, 'has no name in GGUF');
    }
    // A tied head is not stored twice.
    if (name === 'output.weight' && config['tie_word_embeddings'] === true && names.has('token_embd.weight')) continue;
    const encoded = plan(checkpoint, info, wanted);
    entries.push({
      name: name === 'output.weight' && !checkpoint.tensors.has(embeddingName(names)) ? 'token_embd.weight' : name,
      type: encoded.type,
      shape: info.shape,
      data: async () => {
        const made = await encode(checkpoint, info, encoded.type, gguf);
        weights.push(made.weight);
        return made.bytes;
      },
    });
  }
  const factors = ropeFactors(config);
  if (factors) {
    const bytes = encodeBlocks('F32', factors);
    entries.push({ name: 'rope_freqs.weight', type: 'F32', shape: [factors.length], data: () => bytes });
  }
  const shapes = new Map(entries.map(({ name, shape }) => [name, shape]));
  const metadata = new Map<string, GgufEntryValue>([
    ...metadataOfConfig(path, { ...architecture, gguf }, config, shapes),
    ['general.file_type', { type: 'u32', value: fileTypes[mostOf(entries)] }],
    ['general.quantization_version', { type: 'u32', value: QUANTIZATION_VERSION }],
    ...metadataOfTokenizer(checkpoint.tokenizerSource(), {
      vocabularySize: shapes.get('token_embd.weight')?.[0] ?? 0,
      bosTokenId: checkpoint.bosTokenId,
      eosTokenIds: checkpoint.eosTokenIds,
      chatTemplate: checkpoint.chatTemplate()?.source,
    }),
  ]);
  const { signal, onProgress } = options;
  await writeGguf(output, metadata, entries, { ...(signal && { signal }), ...(onProgress && { onProgress }) });
  return weights;
}

/** From the names of the checkpoint to those of the file. */
function namesInFile(gguf: GgufMapping, layers: number): Map<string, string> {
  const names = new Map<string, string>();
  for (const [file, checkpoint] of Object.entries(gguf.tensors)) {
    if (!file.includes('#')) names.set(checkpoint, file);
    else for (let i = 0; i < layers; i++) names.set(checkpoint.replace('#', `${i}`), file.replace('#', `${i}`));
  }
  return names;
}

function embeddingName(names: ReadonlyMap<string, string>): string {
  return [...names].find(([, file]) => file === 'token_embd.weight')?.[0] ?? '';
}

/** Tables that old checkpoints carry along and every implementation computes. */
function isBuffer(name: string): boolean {
  return /\.(?:masked_bias|rotary_emb\.inv_freq|attention\.bias|attn\.bias)$/u.test(name);
}

/** The kind in which a tensor is written. */
function plan(checkpoint: LoadedCheckpoint, info: TensorInfo, wanted: WrittenType): { readonly type: WrittenType } {
  if (info.shape.length < 2) return { type: 'F32' };
  const packed = packedBlocks(checkpoint, info);
  if (packed) return { type: packed };
  const blocks = wanted !== 'F32' && wanted !== 'F16';
  if (blocks && (info.shape.at(-1) as number) % 32 !== 0) return { type: 'F16' };
  // The head and the embeddings are kept in 8 bits, as llama.cpp's own mixtures do.
  if (blocks && /(?:embed|lm_head|wte)/u.test(info.name)) return { type: 'Q8_0' };
  return { type: wanted };
}

const blockTypes: Readonly<Record<string, WrittenType>> = {
  'int4-sym': 'Q4_0',
  'int4-min': 'Q4_1',
  'int4-asym': 'Q4_1',
  int8: 'Q8_0',
};

function packedBlocks(checkpoint: LoadedCheckpoint, info: TensorInfo): WrittenType | undefined {
  if (['F32', 'F16', 'BF16', 'F64'].includes(info.dtype)) return undefined;
  const matrix = checkpoint.describe(info.name);
  return matrix.groupSize === 32 && matrix.columns % 32 === 0 ? blockTypes[matrix.format] : undefined;
}

async function encode(
  checkpoint: LoadedCheckpoint,
  info: TensorInfo,
  type: WrittenType,
  gguf: GgufMapping,
): Promise<{ readonly bytes: Uint8Array; readonly weight: ConvertedWeight }> {
  const before = checkpoint.read(info.name);
  const offset = gguf.offset?.(info.name) ?? 0;
  const stored = offset === 0 ? before : before.map((value) => value + offset);
  const packed = packedBlocks(checkpoint, info) === type ? await blocksOf(checkpoint, info.name) : undefined;
  const bytes = packed ?? encodeBlocks(type, stored);
  const after = dequantize(typeNamed(type), bytes);
  const weight = { name: info.name, from: info.dtype, to: type, largestError: largestError(stored, after) };
  const order = gguf.rowOrder?.(info.name, checkpoint.config);
  return { bytes: order ? reordered(bytes, order) : bytes, weight };
}

/** The blocks of a packed weight; undefined where it is dense after all, its scales being beyond float16. */
async function blocksOf(checkpoint: LoadedCheckpoint, name: string): Promise<Uint8Array | undefined> {
  using matrix = (await checkpoint.load(name)).matrix;
  return matrix.groupSize === undefined ? undefined : blocksOfMatrix(matrix)?.bytes;
}

function typeNamed(name: WrittenType): GgufType {
  return [...ggufTypes.values()].find((type) => type.name === name) as GgufType;
}

/** Row r of `bytes` becomes row `order[r]`. */
function reordered(bytes: Uint8Array, order: Int32Array): Uint8Array {
  const rowBytes = bytes.byteLength / order.length;
  const result = new Uint8Array(bytes.byteLength);
  order.forEach((to, from) => {
    result.set(bytes.subarray(from * rowBytes, (from + 1) * rowBytes), to * rowBytes);
  });
  return result;
}

function mostOf(entries: readonly GgufEntry[]): WrittenType {
  const sizes = new Map<WrittenType, number>();
  for (const { type, shape } of entries) {
    const count = shape.reduce((product, size) => product * size, 1);
    sizes.set(type as WrittenType, (sizes.get(type as WrittenType) ?? 0) + (shape.length > 1 ? count : 0));
  }
  let most: WrittenType = 'F16';
  for (const [type, size] of sizes) if (size > (sizes.get(most) ?? 0)) most = type;
  return most;
}
