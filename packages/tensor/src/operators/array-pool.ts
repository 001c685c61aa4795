import { releaseArrays } from '../release-array.ts';
import type { FloatArray } from '../tensor.ts';

/** Unused elements beyond which a new size makes the pool forget them: 512 MiB. */
const MOST_UNUSED = 2 ** 27;

/**
 * Memory for the values between operators, used again instead of being left to the garbage collector: a step of training makes
 * hundreds of megabytes of them. Contents of a new array are whatever was in it.
 */
export class ArrayPool {
  readonly #free = new Map<number, Float32Array[]>();
  readonly #lent = new WeakSet();
  /** Elements that lie here unused. */
  #unused = 0;

  allocate(length: number): Float32Array {
    let array = this.#free.get(length)?.pop();
    if (array) this.#unused -= length;
    else {
      // Texts of many lengths would leave memory of every size behind.
      if (this.#unused > MOST_UNUSED) this.clear();
      array = new Float32Array(length);
    }
    this.#lent.add(array);
    return array;
  }

  /** Frees what lies here unused. */
  clear(): void {
    for (const arrays of this.#free.values()) releaseArrays(...arrays);
    this.#free.clear();
    this.#unused = 0;
  }

  /** Takes an array back that nobody reads any more. One that is not from here, or was given back before, is left alone. */
  release(array: FloatArray): void {
    if (!this.#lent.delete(array)) return;
    this.#unused += array.length;
    const free = this.#free.get(array.length);
    if (free) free.push(array as Float32Array);
    else this.#free.set(array.length, [array as Float32Array]);
  }
}
