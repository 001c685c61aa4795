import { join } from 'node:path';

import type { TensorInfo } from '../../checkpoint.ts';
import { CorruptFileError, ModelNotFoundError } from '../../errors.ts';
import { readJsonObject } from '../../read-file.ts';
import { storedTensor, StoredFile } from '../../stored-file.ts';
import { readSafetensorsHeader } from '../safetensors/header.ts';

/** The tensors of all weight files of a folder; the files are mapped when the first of their tensors is. */
export interface WeightFiles {
  readonly files: readonly StoredFile[];
  readonly tensors: readonly TensorInfo[];
  /** The `__metadata__` of the files, by their names. */
  readonly metadata: ReadonlyMap<string, Readonly<Record<string, string>>>;
}

const INDEX = 'model.safetensors.index.json';

/** Reads the headers of model.safetensors, or of the shards that the index names, or of the only safetensors files there are. */
export function openWeightFiles(path: string, names: ReadonlySet<string>): WeightFiles {
  const index = names.has(INDEX) ? readIndex(join(path, INDEX)) : undefined;
  const shards = index ? new Set(index.values()) : singleFiles(path, names);
  const files: StoredFile[] = [];
  const tensors = new Map<string, TensorInfo>();
  const metadata = new Map<string, Readonly<Record<string, string>>>();
  for (const shard of shards) {
    if (!names.has(shard)) throw new ModelNotFoundError(path, `the file ${shard} is missing`);
    const file = new StoredFile(join(path, shard));
    const header = readSafetensorsHeader(file.path);
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
      throw new CorruptFileError(join(path, INDEX), 0, `it says that ${shard} holds ${name}, which is not there`);
    }
  }
  return { files, tensors: [...tensors.values()], metadata };
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

function singleFiles(path: string, names: ReadonlySet<string>): ReadonlySet<string> {
  if (names.has('model.safetensors')) return new Set(['model.safetensors']);
  const found = [...names].filter((name) => name.endsWith('.safetensors') && !name.startsWith('.')).sort();
  if (found.length === 0) throw new ModelNotFoundError(path, 'the folder has no .safetensors files');
  return new Set(found);
}
