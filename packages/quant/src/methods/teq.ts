import {
  checkOptions,
  exchangeScales,
  fakeQuantizeBackward,
  InvalidOptionError,
  linearWeight,
  type EquivalentScale,
  type Tensor,
  type Weights,
} from '@llm/tensor';
import { groupLength, type Grid } from '../grid.ts';
import { randomSource } from '../random.ts';
import { shuffledBatches, splitBatches, type BlockLoss } from './block-loss.ts';
import { roundToNearest } from './round-to-nearest.ts';

/** Options of the method `teq`. */
export interface TeqOptions {
  /** Steps per block; default 100. */
  readonly iterations?: number;
  /** Of Adam on the logarithms of the factors, after a warm-up of 5 % falling linearly to 0. Default 0.02. */
  readonly learningRate?: number;
  /** Of the order of batches; default 0. */
  readonly seed?: number;
}

export const teqOptions: readonly string[] = ['iterations', 'learningRate', 'seed'];

export interface TeqResult {
  /** The factors of each exchange; all ones if nothing was better. */
  readonly factors: ReadonlyMap<EquivalentScale, Float32Array>;
  /** Loss on the batches that it is judged by, with all ones and with what is returned. Never larger. */
  readonly identityLoss: number;
  readonly loss: number;
}

/** The factors of one exchange as they are trained, with Adam's moments. */
interface Trained {
  readonly exchange: EquivalentScale;
  readonly logarithms: Float64Array;
  readonly mean: Float64Array;
  readonly square: Float64Array;
}

const BETA = 0.9;
const EPSILON = 1e-8;
const WARM_UP = 0.05;
const JUDGEMENTS = 10;

/**
 * Trains the factors of a block's exchanges of scales so that the rounded block comes near the block as it was (Cheng et al. 2023,
 * Trainable Equivalent Transformation; here on the block's outputs instead of the whole model's loss). Rounding is taken as the
 * identity in the gradient, which leaves, for W~ = W diag(a) and the gradient K of the rounded weights,
 * dL/d(ln a_j) = sum over rows o of K[o, j] (W~[o, j] - Q(W~)[o, j]).
 *
 * @param grids - of the linears that are rounded, by the name of their weight
 * @param weights - the block's weights as they were
 */
export async function trainScales(
  loss: BlockLoss,
  exchanges: readonly EquivalentScale[],
  grids: ReadonlyMap<string, Grid>,
  weights: Weights,
  options: TeqOptions = {},
): Promise<TeqResult> {
  checkOptions(options, teqOptions, 'teq');
  const { iterations = 100, learningRate = 0.02, seed = 0 } = options;
  if (!Number.isInteger(iterations) || iterations < 0)
    throw new InvalidOptionError('iterations', String(iterations), ['0 or more']);
  const trained = exchanges.map((exchange): Trained => ({
    exchange,
    logarithms: new Float64Array(exchange.factors),
    mean: new Float64Array(exchange.factors),
    square: new Float64Array(exchange.factors),
  }));
  const wanted = new Set(
    exchanges.flatMap(({ linears }) => linears.map((linear) => linearWeight(linear).attributes.name)),
  );
  const { training, validation } = splitBatches(loss.batches);
  const order = shuffledBatches(training, randomSource(seed));
  const judge = async (): Promise<number> => loss.mean(validation, (await roundBlock(trained, grids, weights)).rounded);

  const identityLoss = await judge();
  let best = { loss: identityLoss, factors: trained.map(factorsOf) };
  const every = Math.max(1, Math.floor(iterations / JUDGEMENTS));
  for (let iteration = 0; iteration < iterations; iteration++) {
    const { scaled, rounded } = await roundBlock(trained, grids, weights);
    const gradients = await loss.gradients(order.next().value, rounded, wanted);
    const warm = Math.min(1, (iteration + 1) / Math.max(1, WARM_UP * iterations));
    const rate = learningRate * warm * (1 - iteration / iterations);
    for (const each of trained)
      adam(each, await slopes(each.exchange, gradients, grids, scaled, rounded), rate, iteration + 1);
    loss.release(gradients);
    if ((iteration + 1) % every !== 0 && iteration + 1 !== iterations) continue;
    const now = await judge();
    if (now < best.loss) best = { loss: now, factors: trained.map(factorsOf) };
  }
  const factors = new Map(trained.map(({ exchange }, i) => [exchange, best.factors[i] as Float32Array]));
  return { factors, identityLoss, loss: best.loss };
}

function factorsOf({ logarithms }: Trained): Float32Array {
  return Float32Array.from(logarithms, Math.exp);
}

/** The block's weights after the exchanges, exact and rounded. */
async function roundBlock(
  trained: readonly Trained[],
  grids: ReadonlyMap<string, Grid>,
  weights: Weights,
): Promise<{ readonly scaled: Weights; readonly rounded: Weights }> {
  const changed = new Map<string, Tensor>();
  const scaled: Weights = (name) => changed.get(name) ?? weights(name);
  for (const each of trained)
    for (const [name, tensor] of exchangeScales(each.exchange, factorsOf(each), scaled)) changed.set(name, tensor);
  const rounded = new Map<string, Tensor>();
  for (const [name, grid] of grids) {
    const { shape, data } = scaled(name);
    rounded.set(name, { shape, data: await roundToNearest(data as Float32Array, shape[1] ?? 1, grid, name) });
  }
  return { scaled, rounded: (name) => rounded.get(name) ?? scaled(name) };
}

/**
 * The gradient with respect to the logarithm of each factor. Besides the term in the description of {@link trainScales} it has
 * that of the grids: the column with a group's largest weight stretches the scale for all of its columns. Without it every factor
 * is pushed up alike, which changes nothing.
 */
async function slopes(
  { linears, columns, factors }: EquivalentScale,
  gradients: ReadonlyMap<string, Float32Array>,
  grids: ReadonlyMap<string, Grid>,
  scaled: Weights,
  rounded: Weights,
): Promise<Float64Array> {
  const sums = new Float64Array(factors);
  const add = (column: number, slope: number): void => {
    const factor = columns[column] as number;
    sums[factor] = (sums[factor] as number) + slope;
  };
  const count = columns.length;
  for (const linear of linears) {
    const { name } = linearWeight(linear).attributes;
    const gradient = gradients.get(name);
    const grid = grids.get(name);
    if (!gradient || !grid) continue;
    const exact = scaled(name).data as Float32Array;
    const quantized = rounded(name).data;
    for (let begin = 0; begin < gradient.length; begin += count)
      for (let c = 0; c < count; c++)
        add(c, (gradient[begin + c] as number) * ((exact[begin + c] as number) - (quantized[begin + c] as number)));
    if (grid.scheme === 'min') continue;
    const groupSize = groupLength(grid, count);
    const rows = exact.length / count;
    const { bits, scheme } = grid;
    const ranges = await fakeQuantizeBackward({
      rows,
      columns: count,
      weights: exact,
      bits,
      groupSize,
      scheme,
      gradient,
    });
    let group = 0;
    for (let begin = 0; begin < exact.length; begin += count)
      for (let first = 0; first < count; first += groupSize, group++) {
        let [lowest, highest] = [first, first];
        for (let c = first; c < Math.min(first + groupSize, count); c++) {
          if ((exact[begin + c] as number) < (exact[begin + lowest] as number)) lowest = c;
          if ((exact[begin + c] as number) > (exact[begin + highest] as number)) highest = c;
        }
        add(lowest, ranges.minimumScale[group] as number);
        add(highest, ranges.maximumScale[group] as number);
      }
  }
  return sums;
}

function adam({ logarithms, mean, square }: Trained, slope: Float64Array, rate: number, time: number): void {
  const correction = 1 - BETA ** time;
  for (let i = 0; i < logarithms.length; i++) {
    const g = slope[i] as number;
    const m = BETA * (mean[i] as number) + (1 - BETA) * g;
    const v = BETA * (square[i] as number) + (1 - BETA) * g * g;
    mean[i] = m;
    square[i] = v;
    const stepSize = m / correction / (Math.sqrt(v / correction) + EPSILON);
    logarithms[i] = (logarithms[i] as number) - rate * stepSize;
  }
}
