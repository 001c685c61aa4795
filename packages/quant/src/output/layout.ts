import type { PackedDescription } from '@llm/tensor';

/** One tensor of the output, whose size is known before its values are. */
export interface OutputTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** Goes into `__metadata__['llm.packed']`. */
  readonly packed?: PackedDescription;
}

/** One safetensors file, laid out. */
export interface Shard {
  readonly file: string;
  /** Length, JSON and padding: the data start behind it, at a multiple of 64 bytes. */
  readonly header: Uint8Array;
  /** Absolute offset of each tensor. */
  readonly offsets: ReadonlyMap<string, number>;
  readonly byteLength: number;
}

/** Packed weights are mapped and read by vector loads. */
const ALIGNMENT = 64;

/**
 * Divides tensors over safetensors files of `shardBytes` at most (a larger tensor has a file of its own), in the order given.
 * Inside a file the packed ones come first, so that all of them are aligned without holes, which the format does not allow.
 */
export function layOut(tensors: readonly OutputTensor[], shardBytes: number): Shard[] {
  const parts: OutputTensor[][] = [];
  let size = Infinity;
  for (const tensor of tensors) {
    if (size + tensor.byteLength > shardBytes) {
      parts.push([]);
      size = 0;
    }
    parts.at(-1)?.push(tensor);
    size += tensor.byteLength;
  }
  return parts.map((part, index) => layOutShard(part, shardName(index, parts.length)));
}

/** model.safetensors.index.json, where there are several files. */
export function shardIndex(shards: readonly Shard[]): object {
  const total = shards.reduce((sum, shard) => sum + shard.byteLength - shard.header.length, 0);
  const map = shards.flatMap((shard) => [...shard.offsets.keys()].map((name) => [name, shard.file] as const));
  return { metadata: { total_size: total }, weight_map: Object.fromEntries(map) };
}

function shardName(index: number, count: number): string {
  if (count === 1) return 'model.safetensors';
  const number = (value: number): string => String(value).padStart(5, '0');
  return `model-${number(index + 1)}-of-${number(count)}.safetensors`;
}

function layOutShard(tensors: readonly OutputTensor[], file: string): Shard {
  const packed = tensors.filter((tensor) => tensor.packed);
  const ordered = [...packed, ...tensors.filter((tensor) => !tensor.packed)];
  const begins = new Map<string, number>();
  const entries: Record<string, unknown> = {
    __metadata__: {
      format: 'pt',
      ...(packed.length > 0 && {
        'llm.packed': JSON.stringify(Object.fromEntries(packed.map((tensor) => [tensor.name, tensor.packed]))),
      }),
    },
  };
  let end = 0;
  for (const { name, dtype, shape, byteLength } of ordered) {
    begins.set(name, end);
    entries[name] = { dtype, shape, data_offsets: [end, end + byteLength] };
    end += byteLength;
  }
  const json = Buffer.from(JSON.stringify(entries));
  const length = Math.ceil((8 + json.length) / ALIGNMENT) * ALIGNMENT;
  const header = Buffer.alloc(length, ' ');
  header.writeBigUInt64LE(BigInt(length - 8));
  json.copy(header, 8);
  const offsets = new Map([...begins].map(([name, begin]) => [name, length + begin]));
  return { file, header, offsets, byteLength: length + end };
}
