import type { Tensor } from '../tensor.ts';

/** Input `index` of an operator whose arity was checked when its node was made. */
export function input(inputs: readonly Tensor[], index: number): Tensor {
  const found = inputs[index];
  if (!found) throw new RangeError(`Input ${index} is missing.`);
  return found;
}
