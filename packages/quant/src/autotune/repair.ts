import type { LinearCompute } from '@llm/tensor';
import type { LayerOverride } from '../recipe.ts';
import type { InputMeasurement } from './activations.ts';
import { allocate, type LayerOption } from './allocation.ts';
import { recipeName, type Candidate } from './candidates.ts';
import type { Trial } from './trial.ts';

/** Shares of the way from the trial's cost to that of all layers at 8 bits, and outliers exact, that are tried one after the other. */
const steps = [0.1, 0.25, 0.5, 1];

/** How much harm 8 bits leave of that of 4: the step is 16 times finer, its square error 256 times. */
const harmAt8 = 1 / 256;

/**
 * From this squared relative error of outputs on, activations have outliers: a tenth of what weights of 4 bits commonly cause.
 * Activations without any are off by 1e-5 to 1e-4.
 */
const outlierError = 1e-3;

type TrialLayer = Trial['layers'][number];

/** One thing that can be done with the layers that read one input. */
interface Choice extends LayerOption {
  readonly raised: ReadonlySet<TrialLayer>;
  readonly compute: LinearCompute;
}

/**
 * Recipes that mend a trial which did not pass. Within a growing budget, those layers get 8 bits and those activations exact arithmetic
 * where that takes off the most harm for what it costs: milliseconds as the kernels were measured, or bytes, for the objective `size` or
 * without measurements. The harm of weights is a layer's squared relative error times its size, that of activations likewise.
 */
export function* repairs(
  trial: Trial,
  measured: readonly InputMeasurement[],
  objective: 'latency' | 'size',
): Generator<Candidate> {
  const inputs = inputsOf(trial, measured);
  const cost = objective === 'latency' && measured.length > 0 ? milliseconds : bytes;
  const options = inputs.map((input) => choicesFor(input, cost));
  const now = sum(options.map((choices) => choices[0]!.cost));
  const most = sum(options.map((choices) => Math.max(...choices.map((choice) => choice.cost))));
  const names = new Set<string>();
  for (const step of steps) {
    // What costs nothing comes in any case; a float's last bit must not keep it out.
    const picked = allocate(options, (now + step * (most - now)) * (1 + 1e-12));
    const choices = options.flatMap((list, i) => list[picked?.[i] ?? 0] ?? []);
    const overrides = choices.flatMap((choice, i) => overridesOf(inputs[i]!.layers, choice));
    if (overrides.length === 0) continue;
    const recipe = { ...trial.recipe, layers: [...(trial.recipe.layers ?? []), ...overrides] };
    const name = recipeName(recipe);
    if (names.has(name)) continue;
    names.add(name);
    yield { name, recipe, bitsPerWeight: Number.POSITIVE_INFINITY };
  }
}

/** Layers that read one input, and so have one arithmetic. */
interface Input {
  readonly layers: readonly TrialLayer[];
  readonly measurement: InputMeasurement | undefined;
}

/** What the trial has measurements of, by common input, and what it has none of, one by one. */
function inputsOf(trial: Trial, measured: readonly InputMeasurement[]): Input[] {
  const layers = new Map(trial.layers.map((layer) => [layer.weight, layer]));
  const shared = measured.map((measurement): Input => {
    const own = measurement.weights.flatMap(({ weight }) => layers.get(weight) ?? []);
    for (const { weight } of own) layers.delete(weight);
    return { layers: own, measurement };
  });
  return [...shared, ...[...layers.values()].map((layer): Input => ({ layers: [layer], measurement: undefined }))];
}

type Cost = (input: Input, raised: ReadonlySet<TrialLayer>, compute: LinearCompute) => number;

const bytes: Cost = ({ layers }, raised) => sum(layers.map((layer) => layer.bytesAfter * (raised.has(layer) ? 2 : 1)));

const milliseconds: Cost = ({ layers, measurement }, raised, compute) =>
  sum(
    (measurement?.weights ?? []).map(({ weight, now, raised: at8 }) =>
      layers.some((layer) => layer.weight === weight && raised.has(layer)) ? at8[compute] : now[compute],
    ),
  );

/** Every combination of layers at 8 bits with every arithmetic that comes into question; first what the trial had. */
function choicesFor(input: Input, cost: Cost): Choice[] {
  const { layers, measurement } = input;
  const raisable = layers.filter(({ bits }) => bits < 8);
  const size = sum(layers.map(({ bytesAfter }) => bytesAfter));
  const ofWeights = (layer: TrialLayer): number => layer.relativeError ** 2 * layer.bytesAfter;
  const ofActivations = (compute: LinearCompute): number => (measurement?.errors[compute] ?? 0) * size;
  const now: LinearCompute = layers.find(({ compute }) => compute)?.compute ?? 'int8';
  const outliers = measurement && now === 'int8' && measurement.errors.int8 >= outlierError;
  const computes = outliers ? [now, ...exactComputes(measurement)] : [now];
  return computes.flatMap((compute) =>
    subsets(raisable).map((raised): Choice => {
      const harm = sum(layers.map((layer) => ofWeights(layer) * (raised.has(layer) ? harmAt8 : 1)));
      return { raised, compute, cost: cost(input, raised, compute), harm: harm + ofActivations(compute) };
    }),
  );
}

/** Float32, and bfloat16 where the processor has it and gains by it. */
function exactComputes({ errors, weights }: InputMeasurement): LinearCompute[] {
  const time = (compute: LinearCompute): number => sum(weights.map(({ now }) => now[compute]));
  return errors.bf16 > 0 && errors.bf16 < errors.int8 && time('bf16') < time('f32') ? ['bf16', 'f32'] : ['f32'];
}

function overridesOf(layers: readonly TrialLayer[], { raised, compute }: Choice): LayerOverride[] {
  return layers.flatMap((layer): LayerOverride[] => {
    const promoted = compute !== (layer.compute ?? 'int8');
    if (!promoted && !raised.has(layer)) return [];
    const at8 = raised.has(layer) && ({ bits: 8, scheme: 'sym' } as const);
    return [{ match: layer.weight, ...at8, ...(promoted && { compute }) }];
  });
}

/** None of the items first. */
function subsets<Item>(items: readonly Item[]): Set<Item>[] {
  return items.reduce<Set<Item>[]>(
    (sets, item) => [...sets, ...sets.map((set) => new Set(set).add(item))],
    [new Set()],
  );
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
