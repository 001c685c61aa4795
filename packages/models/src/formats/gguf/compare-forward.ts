import type { ForwardPass } from '../../architecture.ts';

/** What two forward passes of one architecture do differently, as `attention.window`; undefined if nothing. */
export function firstDifference(a: ForwardPass, b: ForwardPass): string | undefined {
  if (a.vocabularySize !== b.vocabularySize) return 'vocabulary';
  if (a.contextLength !== b.contextLength) return 'context length';
  const [one, other] = [a.graph.nodes, b.graph.nodes];
  for (const [i, node] of one.entries()) {
    const found = other[i];
    const inputs = node.inputs.map(({ id }) => id);
    if (
      found?.op !== node.op ||
      !same(
        inputs,
        found.inputs.map(({ id }) => id),
      )
    )
      return node.op;
    const [mine, theirs] = [node.attributes, found.attributes] as readonly Readonly<Record<string, unknown>>[];
    for (const key of new Set([...Object.keys(mine ?? {}), ...Object.keys(theirs ?? {})])) {
      if (!same(mine?.[key], theirs?.[key])) return `${node.op}.${key}`;
    }
  }
  return one.length === other.length ? undefined : 'layers';
}

/** Numbers are the same up to the rounding of float32. Llama 3's scaling is written as its factors. */
function same(a: unknown, b: unknown): boolean {
  if (typeof a === 'number' && typeof b === 'number') return a === b || Math.abs(a - b) <= 1e-6 * Math.abs(b);
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  const [mine, theirs] = [a, b] as [Readonly<Record<string, unknown>>, Readonly<Record<string, unknown>>];
  if (mine['type'] === 'llama3' && theirs['type'] === 'factors') return true;
  const keys = new Set([...Object.keys(mine), ...Object.keys(theirs)]);
  return [...keys].every((key) => same(mine[key], theirs[key]));
}
