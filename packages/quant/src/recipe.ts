import { checkOptions, InvalidOptionError, type PackedFormat } from '@llm/tensor';
import type { ClipSearch } from './clip-search.ts';
import { RecipeError } from './errors.ts';
import { validateGrid, type Grid, type ScaleType, type Scheme } from './grid.ts';
import { storageFormat } from './pack.ts';
import type { Target } from './targets.ts';

export type MethodName = 'rtn';

export const methodNames: readonly MethodName[] = ['rtn'];

/** How the weights of one layer, or of all, become integers. */
export interface LayerRecipe {
  /** 2 to 8; default 4. Fewer than 4 are stored in 4 bits, and 5 to 7 in 8. */
  readonly bits?: number;
  /** 32 to 1024, or -1 for one group per row; default 32. */
  readonly groupSize?: number;
  /** Default `sym`. See {@link Scheme}. */
  readonly scheme?: Scheme;
  /** Default `half`. See {@link Grid.scales}. */
  readonly scales?: ScaleType;
  /** Search each group for the range with the least error. Default false. */
  readonly clipSearch?: boolean | ClipSearch;
}

/** A layer recipe for the layers whose name matches. */
export interface LayerOverride extends LayerRecipe {
  /** Name of a layer, in which `*` stands for any characters: `*.mlp.down_proj`. */
  readonly match: string;
}

/** What to do with a whole model. */
export interface Recipe extends LayerRecipe {
  readonly method: MethodName;
  /** The output head; `false` leaves it as it is. Default 8 bits, symmetric, in groups of 32. */
  readonly head?: LayerRecipe | false;
  /** The token embedding where it is a matrix of its own; a tied one is the head. Default as `head`. */
  readonly embedding?: LayerRecipe | false;
  /** Names (with `*`) of layers that stay as they are. */
  readonly skip?: readonly string[];
  /** For single layers; the last match wins, field by field. */
  readonly layers?: readonly LayerOverride[];
}

/** The fields of {@link LayerRecipe}. */
export const layerOptions = ['bits', 'groupSize', 'scheme', 'scales', 'clipSearch'] as const;
/** The fields of {@link Recipe}. */
export const recipeOptions: readonly string[] = [...layerOptions, 'method', 'head', 'embedding', 'skip', 'layers'];

/** What a recipe comes to for one layer. */
export interface LayerPlan {
  readonly method: MethodName;
  readonly grid: Grid;
  readonly clipSearch: boolean | ClipSearch;
  readonly format: PackedFormat;
}

const defaults = { bits: 4, groupSize: 32, scheme: 'sym', scales: 'half', clipSearch: false } as const;

/**
 * Decides for every target how it is quantized; targets that stay as they are do not appear in the result.
 * @throws {@link RecipeError} for a pattern that names no layer, or a grid without storage
 */
export function planLayers(recipe: Recipe, targets: readonly Target[]): Map<Target, LayerPlan> {
  checkRecipe(recipe);
  const skip = (recipe.skip ?? []).map((pattern) => ({ pattern, matches: findMatches(pattern, targets) }));
  const overrides = (recipe.layers ?? []).map((override) => ({
    override,
    matches: findMatches(override.match, targets),
  }));
  const plans = new Map<Target, LayerPlan>();
  for (const target of targets) {
    const base = baseRecipe(recipe, target);
    if (base === false || skip.some(({ matches }) => matches.has(target))) continue;
    const own = overrides.filter(({ matches }) => matches.has(target)).map(({ override }) => given(override));
    const merged = own.reduce<Required<LayerRecipe>>((sum, fields) => ({ ...sum, ...fields }), {
      ...defaults,
      ...given(base),
    });
    const { clipSearch, ...grid } = merged;
    validateGrid(grid);
    plans.set(target, { method: recipe.method, grid, clipSearch, format: storageFormat(grid) });
  }
  if (plans.size === 0) throw new RecipeError('The recipe leaves every layer as it is: there is nothing to quantize.');
  return plans;
}

function baseRecipe(recipe: Recipe, target: Target): LayerRecipe | false {
  if (target.kind === 'linear') return recipe;
  const head = recipe.head ?? { bits: 8 };
  return target.kind === 'head' ? head : (recipe.embedding ?? head);
}

/** The layer options of an object that are given, without those that are undefined. */
function given(recipe: LayerRecipe): Partial<LayerRecipe> {
  return Object.fromEntries(layerOptions.flatMap((key) => (recipe[key] === undefined ? [] : [[key, recipe[key]]])));
}

function checkRecipe(recipe: Recipe): void {
  checkOptions(recipe, recipeOptions, 'quantize()');
  if (!methodNames.includes(recipe.method)) throw new InvalidOptionError('method', recipe.method, methodNames);
  if (recipe.head) checkOptions(recipe.head, layerOptions, 'head');
  if (recipe.embedding) checkOptions(recipe.embedding, layerOptions, 'embedding');
  for (const override of recipe.layers ?? []) checkOptions(override, [...layerOptions, 'match'], 'layers');
}

function findMatches(pattern: string, targets: readonly Target[]): Set<Target> {
  const escaped = pattern.replace(/\.weight$/, '').replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  const expression = new RegExp(`^${escaped.replaceAll(String.raw`\*`, '.*')}$`);
  const matches = new Set(targets.filter(({ name }) => expression.test(name)));
  if (matches.size > 0) return matches;
  const examples = [...new Set(targets.map(({ name }) => name.replace(/\d+/, '*')))].slice(0, 9).join(', ');
  throw new RecipeError(`The recipe names ${pattern}, and no layer is called that. Layers here: ${examples}.`);
}
