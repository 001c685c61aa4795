import type { LayerRecipe, MethodName, Recipe } from '../recipe.ts';

/** What the tuner may combine. */
export interface CandidateSpace {
  /** Default: every method there is. */
  readonly methods?: readonly MethodName[];
  /** Default [4]. */
  readonly bits?: readonly number[];
  /** Default [128, 64, 32]. */
  readonly groupSizes?: readonly number[];
  /** Default `sym` and `asym`, for `rtn` also `min`; `hqq` has `min` only and is left out where the list lacks it. */
  readonly schemes?: readonly NonNullable<LayerRecipe['scheme']>[];
  /** Bits of the output head and the embedding; default [8]. */
  readonly headBits?: readonly number[];
}

/** A recipe to be tried, with what it is expected to cost a user. */
export interface Candidate {
  /** The same recipe has the same name in every run. */
  readonly name: string;
  readonly recipe: Recipe;
  /** Stored bits of a weight, scales and zero points included; decoding time grows with it. */
  readonly bitsPerWeight: number;
}

/** Cheap to make comes first among recipes that cost the user the same. */
const effort: Readonly<Record<MethodName, number>> = {
  rtn: 0,
  hqq: 1,
  awq: 2,
  gptq: 3,
  'awq+gptq': 4,
  teq: 5,
  'teq+gptq': 6,
  signround: 7,
};

/** All combinations, those that run fastest first, among equals those that are made quickest. */
export function candidates(space: CandidateSpace, methods: readonly MethodName[]): Candidate[] {
  const { bits = [4], groupSizes = [128, 64, 32], headBits = [8] } = space;
  const list: Candidate[] = [];
  for (const method of space.methods ?? methods)
    for (const bit of bits)
      for (const groupSize of groupSizes)
        for (const scheme of schemesOf(method, space.schemes))
          for (const head of headBits) {
            const recipe: Recipe = { method, bits: bit, groupSize, scheme, head: { bits: head } };
            list.push({ name: recipeName(recipe), recipe, bitsPerWeight: bitsPerWeight(recipe) });
          }
  return list.sort((a, b) => a.bitsPerWeight - b.bitsPerWeight || effort[a.recipe.method] - effort[b.recipe.method]);
}

function schemesOf(method: MethodName, given: CandidateSpace['schemes']): NonNullable<CandidateSpace['schemes']> {
  if (method === 'hqq') return (given ?? ['min']).filter((scheme) => scheme === 'min');
  // Free minima cost half a bit more in small groups; where that is worth it, plain rounding shows it.
  return given ?? (method === 'rtn' ? ['sym', 'asym', 'min'] : ['sym', 'asym']);
}

/** "gptq w4 g128 asym head8"; names the parts that differ between candidates. */
export function recipeName({ method, bits = 4, groupSize = 32, scheme = 'sym', head, layers = [] }: Recipe): string {
  const group = groupSize === -1 ? 'per-channel' : `g${groupSize}`;
  const headPart = head === false ? 'head-kept' : `head${head?.bits ?? 8}`;
  const exact = layers.filter(({ compute }) => compute !== undefined && compute !== 'int8').length;
  const raised = layers.filter((layer) =>
    Object.keys(layer).some((key) => key !== 'match' && key !== 'compute'),
  ).length;
  const mixed = `${raised > 0 ? ` +${raised} layers` : ''}${exact > 0 ? ` +${exact} exact` : ''}`;
  return `${method} w${bits} ${group} ${scheme} ${headPart}${mixed}`;
}

/** Bits per weight of the linears: codes, a float16 scale per group, and a zero point or minimum where the scheme has one. */
function bitsPerWeight({ bits = 4, groupSize = 32, scheme = 'sym' }: Recipe): number {
  // 5 to 7 bits are stored in 8.
  const stored = bits > 4 ? 8 : bits;
  const perGroup = 16 + (scheme === 'asym' ? 4 : scheme === 'min' ? 16 : 0);
  return groupSize === -1 ? stored : stored + perGroup / groupSize;
}
