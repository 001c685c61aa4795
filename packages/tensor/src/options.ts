import { UnknownOptionError } from './errors.ts';

/**
 * Refuses options that a call does not know, naming the nearest one it does.
 * @param where - the call, as its user writes it: `quantize()`
 * @throws {@link UnknownOptionError} for the first unknown key; a key with the value undefined counts too
 */
export function checkOptions(options: object | undefined, allowed: readonly string[], where: string): void {
  for (const name of Object.keys(options ?? {}))
    if (!allowed.includes(name)) throw unknownOptionError(name, allowed, where);
}

/** The error for one unknown option. */
export function unknownOptionError(option: string, allowed: readonly string[], where: string): UnknownOptionError {
  return new UnknownOptionError(where, option, allowed, nearestName(option, allowed));
}

/** The candidate that `name` is most likely a misspelling of, or undefined if none is near. */
export function nearestName(name: string, candidates: readonly string[]): string | undefined {
  let nearest: string | undefined;
  // A third of the letters may differ: "groupsize" and "grupSize" are near groupSize, "seed" is not near "speed-up".
  let smallest = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(simplify(name), simplify(candidate));
    if (distance < smallest) [nearest, smallest] = [candidate, distance];
  }
  return nearest;
}

/** Case and separators are what people get wrong first, so that they count for nothing. */
function simplify(name: string): string {
  return name.toLowerCase().replaceAll(/[-_\s]/g, '');
}

/** Levenshtein's distance: the fewest insertions, deletions and replacements of letters that lead from a to b. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of Array.from(a).entries()) {
    const next = [i + 1];
    for (const [j, other] of Array.from(b).entries()) {
      const replaced = (row[j] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
