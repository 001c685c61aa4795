/**
 * How linears with packed weights multiply inside a program: activations rounded to 8 bits as they come, both factors rounded to
 * bfloat16 (as `f32` on processors without such instructions), or everything in float32. Dense weights are multiplied in float32
 * whatever is asked for.
 */
export type LinearCompute = 'int8' | 'bf16' | 'f32';

/** From the fastest to the most precise. */
export const linearComputes: readonly LinearCompute[] = ['int8', 'bf16', 'f32'];

/** The most precise of them; int8 of none. */
export function mostPrecise(computes: Iterable<LinearCompute>): LinearCompute {
  return [...computes].reduce((best, one) => (rank(one) > rank(best) ? one : best), 'int8');
}

function rank(compute: LinearCompute): number {
  return linearComputes.indexOf(compute);
}
