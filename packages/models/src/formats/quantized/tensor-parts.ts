import type { TensorInfo } from '../../checkpoint.ts';
import { CorruptFileError, MissingWeightError } from '../../errors.ts';
import { decodeElements, isElementType } from '../../number-formats.ts';

/** Finds and reads the tensors that one linear is made of, and remembers which they were. */
export class TensorParts {
  readonly path: string;
  readonly used: Set<string> = new Set<string>();
  readonly #tensors: ReadonlyMap<string, TensorInfo>;

  constructor(path: string, tensors: ReadonlyMap<string, TensorInfo>) {
    this.path = path;
    this.#tensors = tensors;
  }

  /** Names of linears: those with a tensor of that name in them. */
  stems(part: string): string[] {
    const end = `.${part}`;
    return [...this.#tensors.keys()].filter((name) => name.endsWith(end)).map((name) => name.slice(0, -end.length));
  }

  /** A part with two dimensions. Throws where it is missing or of another kind. */
  matrix(stem: string, part: string, types: readonly string[]): TensorInfo {
    const tensor = this.optional(stem, part);
    if (!tensor) throw new MissingWeightError(this.path, `${stem}.${part}`);
    if (tensor.shape.length !== 2 || !types.includes(tensor.dtype)) {
      this.fail(
        tensor,
        `is ${tensor.dtype} [${tensor.shape.join(', ')}] where a matrix of ${types.join(' or ')} must be`,
      );
    }
    return tensor;
  }

  optional(stem: string, part: string): TensorInfo | undefined {
    const name = `${stem}.${part}`;
    const tensor = this.#tensors.get(name);
    if (tensor) this.used.add(name);
    return tensor;
  }

  fail(tensor: TensorInfo, reason: string): never {
    throw new CorruptFileError(this.path, tensor.offset, `tensor ${tensor.name} ${reason}`);
  }
}

/** 32-bit words as they lie in the file. */
export function readWords(tensor: TensorInfo): Uint32Array {
  return new Uint32Array(tensor.storage.read(tensor.offset, tensor.byteLength).buffer);
}

/** Values of any type as float32. */
export function readFloats(tensor: TensorInfo): Float32Array {
  const bytes = tensor.storage.read(tensor.offset, tensor.byteLength);
  return isElementType(tensor.dtype) ? decodeElements(tensor.dtype, bytes) : new Float32Array(0);
}

/** [rows × columns] turned around. */
export function transposeFloats(values: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      out[column * rows + row] = values[row * columns + column] as number;
    }
  }
  return out;
}
