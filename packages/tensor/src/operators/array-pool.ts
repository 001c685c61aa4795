import type { FloatArray } from '../tensor.ts';

/**
 * Memory for the values between operators, used again instead of being left to the garbage collector: a step of training makes
 * hundreds of megabytes of them. Contents of a new array are whatever was in it.
 */
export class ArrayPool {
  readonly #free = new Map<number, Float32Array[]>();
  readonly #lent = new WeakSet();

  allocate(length: number): Float32Array {
    const array = this.#free.get(length)?.pop() ?? new Float32Array(length);
    this.#lent.add(array);
    return array;
  }

  /** Takes an array back that nobody reads any more. One that is not from here, or was given back before, is left alone. */
  release(array: FloatArray): void {
    if (!this.#lent.delete(array)) return;
    const free = this.#free.get(array.length);
    if (free) free.push(array as Float32Array);
    else this.#free.set(array.length, [array as Float32Array]);
  }
}
