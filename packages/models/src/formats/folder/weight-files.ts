import { join } from 'node:path';

import type { CheckpointFormat, TensorInfo } from '../../checkpoint.ts';
import { CorruptFileError, ModelNotFoundError } from '../../errors.ts';
import { readJsonObject } from '../../read-file.ts';
import { storedTensor, StoredFile } from '../../stored-file.ts';
import { readPytorchFile } from '../pytorch/read.ts';
import { readSafetensorsHeader } from '../safetensors/header.ts';

/** The tensors of all weight files of a folder; the files are mapped when the first of their tensors is. */
export interface WeightFiles {
  readonly format: CheckpointFormat;
  readonly files: readonly StoredFile[];
  readonly tensors: readonly TensorInfo[];
  /** The `__metadata__` of the files, by their names. */
  readonly metadata: ReadonlyMap<string, Readonly<Record<string, string>>>;
}

/** One way in which folders store weights: the index of the shards, the usual name, the ending, and a reader of headers. */
interface FileKind {
  readonly format: CheckpointFormat;
  readonly index: string;
  readonly usual: string;
  readonly ending: string;
  read(path: string): { readonly tensors: readonly Omit<TensorInfo, 'storage'>[]; readonly metadata: FileMetadata };
}

type FileMetadata = Readonly<Record<string, string>>;

/** The likeliest first. */
const kinds: readonly FileKind[] = [
  {
    format: 'safetensors',
    index: 'model.safetensors.index.json',
    usual: 'model.safetensors',
    ending: '.safetensors',
    read: readSafetensorsHeader,
  },
  {
    format: 'pytorch',
    index: 'pytorch_model.bin.index.json',
    usual: 'pytorch_model.bin',
    ending: 'pytorch_model.bin',
    read: (path) => ({ tensors: readPytorchFile(path), metadata: {} }),
  },
];

/** Reads the headers of the usual file, or of the shards that the index names, or of the only files of the kind there are. */
export function openWeightFiles(path: string, names: ReadonlySet<string>): WeightFiles {
  for (const kind of kinds) {
    const index = names.has(kind.index) ? readIndex(join(path, kind.index)) : undefined;
    const shards = index ? new Set(index.values()) : singleFiles(kind, names);
    if (shards.size > 0) return openShards(path, names, kind, shards, index);
  }
  throw new ModelNotFoundError(path, 'the folder has no .safetensors files and no pytorch_model.bin');
}

function openShards(
  path: string,
  names: ReadonlySet<string>,
  kind: FileKind,
  shards: ReadonlySet<string>,
  index: ReadonlyMap<string, string> | undefined,
): WeightFiles {
  const files: StoredFile[] = [];
  const tensors = new Map<string, TensorInfo>();
  const metadata = new Map<string, FileMetadata>();
  for (const shard of shards) {
    if (!names.has(shard)) throw new ModelNotFoundError(path, `the file ${shard} is missing`);
    const file = new StoredFile(join(path, shard));
    const header = kind.read(file.path);
    files.push(file);
    metadata.set(shard, header.metadata);
    for (const tensor of header.tensors) {
      if (index && index.get(tensor.name) !== shard) continue;
      if (tensors.has(tensor.name)) {
        throw new CorruptFileError(file.path, tensor.offset, `another file holds a tensor ${tensor.name} too`);
      }
      tensors.set(tensor.name, storedTensor(file, tensor));
    }
  }
  for (const [name, shard] of index ?? []) {
    if (!tensors.has(name)) {
      throw new CorruptFileError(join(path, kind.index), 0, `it says that ${shard} holds ${name}, which is not there`);
    }
  }
  return { format: kind.format, files, tensors: [...tensors.values()], metadata };
}

/** From tensor to file. File names that lead out of the folder are refused. */
function readIndex(path: string): Map<string, string> {
  const map = readJsonObject(path)['weight_map'];
  if (typeof map !== 'object' || map === null) throw new CorruptFileError(path, 0, 'it has no weight_map');
  const entries = Object.entries(map as Record<string, unknown>);
  return new Map(
    entries.map(([name, file]) => {
      if (typeof file !== 'string' || file === '..' || /[/\\]/u.test(file)) {
        throw new CorruptFileError(path, 0, `${JSON.stringify(file)} is no file of this folder`);
      }
      return [name, file] as const;
    }),
  );
}

function singleFiles(kind: FileKind, names: ReadonlySet<string>): ReadonlySet<string> {
  if (names.has(kind.usual)) return new Set([kind.usual]);
  return new Set([...names].filter((name) => name.endsWith(kind.ending) && !name.startsWith('.')).sort());
}
