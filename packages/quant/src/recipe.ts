import { checkOptions, InvalidOptionError, linearComputes, type LinearCompute, type PackedFormat } from '@llm/tensor';
import type { ClipSearch } from './clip-search.ts';
import { RecipeError } from './errors.ts';
import { validateGrid, type Grid, type ScaleType, type Scheme } from './grid.ts';
import { storageFormat } from './pack.ts';
import type { Target } from './targets.ts';

/** How the weights of one layer are rounded. */
export type RoundingMethod = 'rtn' | 'hqq' | 'gptq' | 'signround';

export const roundingMethods: readonly RoundingMethod[] = ['rtn', 'hqq', 'gptq', 'signround'];

/**
 * What is done with a model.
 *
 * - `rtn`       rounds to nearest; with calibration text a clip search minimises the error of the outputs
 * - `hqq`       half-quadratic: fits the minimum of each group without data; the scheme is `min`
 * - `gptq`      rounds column by column and makes up for each error in the columns that are left
 * - `awq`       exchanges scales between layers so that important channels are rounded finer, then rounds with a clip search
 * - `awq+gptq`  the same exchange, then GPTQ
 * - `teq`       trains the factors of the exchanges, then rounds to nearest; `teq+gptq` then GPTQ
 * - `signround` trains which way every weight is rounded, and the range of every group
 */
export type MethodName = RoundingMethod | 'awq' | 'awq+gptq' | 'teq' | 'teq+gptq';

export const methodNames: readonly MethodName[] = [
  'rtn',
  'hqq',
  'gptq',
  'awq',
  'awq+gptq',
  'teq',
  'teq+gptq',
  'signround',
];

/** The steps of a method: an exchange of scales, then the rounding of each layer. */
export interface MethodSteps {
  readonly transform?: 'awq' | 'teq';
  readonly rounding: RoundingMethod;
  /** Whether calibration text is needed. */
  readonly calibrated: boolean;
}

export const methodSteps: Readonly<Record<MethodName, MethodSteps>> = {
  rtn: { rounding: 'rtn', calibrated: false },
  hqq: { rounding: 'hqq', calibrated: false },
  gptq: { rounding: 'gptq', calibrated: true },
  awq: { transform: 'awq', rounding: 'rtn', calibrated: true },
  'awq+gptq': { transform: 'awq', rounding: 'gptq', calibrated: true },
  teq: { transform: 'teq', rounding: 'rtn', calibrated: true },
  'teq+gptq': { transform: 'teq', rounding: 'gptq', calibrated: true },
  signround: { rounding: 'signround', calibrated: true },
};

/** How the weights of one layer, or of all, become integers. */
export interface LayerRecipe {
  /** 2 to 8; default 4. See {@link storageFormat} for how they are stored. */
  readonly bits?: number;
  /** 32 to 1024, or -1 for one group per row; default 32. */
  readonly groupSize?: number;
  /** Default `sym`. See {@link Scheme}. */
  readonly scheme?: Scheme;
  /** Default `half`. See {@link Grid.scales}. */
  readonly scales?: ScaleType;
  /** Search each group for the range with the least error. Default false, for `awq` true. */
  readonly clipSearch?: boolean | ClipSearch;
  /**
   * Default as the method of the whole model says; head and embedding are rounded to nearest. `gptq` needs calibration
   * text; `signround` is for a whole model of that method only.
   */
  readonly rounding?: RoundingMethod;
  /**
   * Arithmetic of the linears that read the weight, written into the model: `int8` (default) rounds activations to 8 bits, which is
   * fastest; `bf16` and `f32` keep layers exact whose activations have outliers. Linears that read the same input, such as q, k and v,
   * run with the most precise that is asked for any of them.
   */
  readonly compute?: LinearCompute;
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
export const layerOptions = ['bits', 'groupSize', 'scheme', 'scales', 'clipSearch', 'rounding', 'compute'] as const;
/** The fields of {@link Recipe}. */
export const recipeOptions: readonly string[] = [...layerOptions, 'method', 'head', 'embedding', 'skip', 'layers'];

/** What a recipe comes to for one layer. */
export interface LayerPlan {
  readonly method: RoundingMethod;
  readonly grid: Grid;
  readonly clipSearch: boolean | ClipSearch;
  readonly format: PackedFormat;
  readonly compute: LinearCompute;
}

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
      ...defaultsOf(recipe, target),
      ...given(base),
    });
    const { clipSearch, rounding, compute, ...grid } = merged;
    validateGrid(grid);
    if (rounding === 'hqq' && grid.scheme !== 'min')
      throw new RecipeError(`${target.name}: HQQ fits a free minimum. Set its scheme to min.`);
    if (rounding === 'signround') checkTrainable(recipe, target, grid);
    plans.set(target, { method: rounding, grid, clipSearch, format: storageFormat(grid), compute });
  }
  if (plans.size === 0) throw new RecipeError('The recipe leaves every layer as it is: there is nothing to quantize.');
  return plans;
}

function checkTrainable({ method }: Recipe, { name, kind }: Target, { scheme, scales }: Grid): void {
  if (methodSteps[method].rounding !== 'signround' || kind !== 'linear')
    throw new RecipeError(`${name}: only the layers of a whole model can be trained. Set the method to signround.`);
  if (scheme === 'min' || scales === 'two-level')
    throw new RecipeError(`${name}: SignRound trains grids of the schemes sym and asym with half-precision scales.`);
}

function defaultsOf({ method }: Recipe, { kind }: Target): Required<LayerRecipe> {
  const { rounding, transform } = methodSteps[method];
  const linear = kind === 'linear';
  return {
    bits: 4,
    groupSize: 32,
    scheme: linear && rounding === 'hqq' ? 'min' : 'sym',
    scales: 'half',
    clipSearch: linear && transform === 'awq',
    rounding: linear ? rounding : 'rtn',
    compute: 'int8',
  };
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
  for (const { rounding, compute } of [recipe, recipe.head || {}, recipe.embedding || {}, ...(recipe.layers ?? [])]) {
    if (rounding !== undefined && !roundingMethods.includes(rounding))
      throw new InvalidOptionError('rounding', rounding, roundingMethods);
    if (compute !== undefined && !linearComputes.includes(compute))
      throw new InvalidOptionError('compute', compute, linearComputes);
  }
}

function findMatches(pattern: string, targets: readonly Target[]): Set<Target> {
  const escaped = pattern.replace(/\.weight$/, '').replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  const expression = new RegExp(`^${escaped.replaceAll(String.raw`\*`, '.*')}$`);
  const matches = new Set(targets.filter(({ name }) => expression.test(name)));
  if (matches.size > 0) return matches;
  const examples = [...new Set(targets.map(({ name }) => name.replace(/\d+/, '*')))].slice(0, 9).join(', ');
  throw new RecipeError(`The recipe names ${pattern}, and no layer is called that. Layers here: ${examples}.`);
}
