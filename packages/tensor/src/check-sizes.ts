import type { Floats } from './blas-types.ts';
import { InvalidArgumentError, ShapeMismatchError } from './errors.ts';

/** @throws {@link InvalidArgumentError} naming the first size that is not a whole number from 1 on */
export function checkSizes(sizes: Readonly<Record<string, number>>): void {
  for (const [name, size] of Object.entries(sizes))
    if (!Number.isInteger(size) || size < 1 || size > 2 ** 31 - 1)
      throw new InvalidArgumentError(`${name} must be a whole number from 1 on, not ${String(size)}.`);
}

/** @throws {@link ShapeMismatchError} */
export function checkLength(name: string, array: Floats, length: number): void {
  if (array.length !== length)
    throw new ShapeMismatchError(
      `${name} has ${String(array.length)} elements where its matrix has ${String(length)}.`,
    );
}
