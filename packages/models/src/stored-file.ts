import { Storage } from '@llm/tensor';

import type { TensorInfo } from './checkpoint.ts';

/** A file that is mapped when its bytes are first wanted. */
export class StoredFile implements Disposable {
  readonly path: string;
  #storage: Storage | undefined;

  constructor(path: string) {
    this.path = path;
  }

  get storage(): Storage {
    return (this.#storage ??= Storage.map(this.path));
  }

  [Symbol.dispose](): void {
    this.#storage?.[Symbol.dispose]();
    this.#storage = undefined;
  }
}

/** A tensor in such a file. Its storage is a getter, so that the file is mapped no earlier than it must be. */
export function storedTensor(file: StoredFile, place: Omit<TensorInfo, 'storage'>): TensorInfo {
  const { name, dtype, shape, offset, byteLength } = place;
  return {
    ...{ name, dtype, shape, offset, byteLength },
    get storage(): Storage {
      return file.storage;
    },
  };
}

/** The same bytes, seen with another shape, type and name. */
export function withShape(
  tensor: TensorInfo,
  shape: readonly number[],
  dtype: string = tensor.dtype,
  name: string = tensor.name,
): TensorInfo {
  const { offset, byteLength } = tensor;
  return {
    ...{ name, dtype, shape, offset, byteLength },
    get storage(): Storage {
      return tensor.storage;
    },
  };
}
