import {
  checkOptions,
  fakeQuantize,
  fakeQuantizeBackward,
  InvalidOptionError,
  signStep,
  type FakeQuantizeGradients,
  type Tensor,
  type Weights,
} from '@llm/tensor';
import { fitRange, groupCount, groupLength, type Grid, type GroupParameters } from '../grid.ts';
import { fround, ROUND } from '../half.ts';
import { checkWeights, emptyMatrix, writeGroup, type QuantizedMatrix } from '../quantized-matrix.ts';
import { randomSource } from '../random.ts';
import { shuffledBatches, splitBatches, type BlockLoss } from './block-loss.ts';

/** How long SignRound trains each block: 50, 200 or 1000 steps. */
export type SignRoundEffort = 'light' | 'default' | 'best';

/** Options of the method `signround`. */
export interface SignRoundOptions {
  /** Default `light`. */
  readonly effort?: SignRoundEffort;
  /** Steps per block; default by effort. */
  readonly iterations?: number;
  /** Step of the rounding offsets, falling to 0 over the iterations. Default 1 / iterations; `light` 0.005. */
  readonly learningRate?: number;
  /** Step of the ranges. Default as the offsets'. */
  readonly rangeLearningRate?: number;
  /** Of the order of batches; default 0. */
  readonly seed?: number;
  /** Stop a block when so many judgements in a row brought nothing better; default never. */
  readonly patience?: number;
}

export const signRoundOptions: readonly string[] = [
  'effort',
  'iterations',
  'learningRate',
  'rangeLearningRate',
  'seed',
  'patience',
];

const efforts: Readonly<Record<SignRoundEffort, { readonly iterations: number; readonly learningRate?: number }>> = {
  light: { iterations: 50, learningRate: 5e-3 },
  default: { iterations: 200 },
  best: { iterations: 1000 },
};

export const signRoundEfforts: readonly SignRoundEffort[] = Object.keys(efforts) as SignRoundEffort[];

/** A linear whose rounding is trained. */
export interface TrainedLinear {
  /** Of its weight. */
  readonly name: string;
  /** [rows, columns] */
  readonly weights: Float32Array;
  readonly columns: number;
  readonly grid: Grid;
}

export interface SignRoundResult {
  readonly matrices: ReadonlyMap<string, QuantizedMatrix>;
  /** Loss on the batches that it is judged by: rounded to nearest, and with what is returned. Never larger. */
  readonly roundingLoss: number;
  readonly loss: number;
}

/** Memory that every step of one linear uses again. */
interface Buffers {
  readonly rounded: Float32Array;
  readonly gradients: FakeQuantizeGradients;
}

/** What is trained of one linear. */
interface Parameters {
  /** Added to w / scale before rounding: [rows, columns]. */
  readonly rounding: Float32Array;
  /** Factors of each group's minimum and maximum: [rows, groups], 0 to 1. */
  readonly minimumScale: Float32Array;
  readonly maximumScale: Float32Array;
}

/** Times that a block is judged, the start and the end included. */
const JUDGEMENTS = 10;

/**
 * Learns for a whole block which weights to round up or down, and how far to clip each group, by the sign of the gradient of the
 * block's output error (Cheng et al. 2023, AutoRound). The parameters kept are those that do best on batches of their own; the
 * start, which is rounding to nearest, is among them.
 *
 * @param frozen - the block's other weights
 */
export async function signRound(
  loss: BlockLoss,
  linears: readonly TrainedLinear[],
  frozen: Weights,
  options: SignRoundOptions = {},
): Promise<SignRoundResult> {
  checkOptions(options, signRoundOptions, 'signround');
  const { effort = 'light', seed = 0, patience = Infinity } = options;
  if (!signRoundEfforts.includes(effort)) throw new InvalidOptionError('effort', effort, signRoundEfforts);
  const iterations = options.iterations ?? efforts[effort].iterations;
  if (!Number.isInteger(iterations) || iterations < 0)
    throw new InvalidOptionError('iterations', String(iterations), ['0 or more']);
  const learningRate =
    options.learningRate ??
    (options.iterations === undefined ? efforts[effort].learningRate : undefined) ??
    1 / iterations;
  const rangeLearningRate = options.rangeLearningRate ?? learningRate;
  for (const { name, weights, columns } of linears) checkWeights(weights, columns, name);

  const parameters = new Map(linears.map((linear) => [linear, startOf(linear)]));
  const buffers = new Map(linears.map((linear) => [linear, buffersOf(linear)]));
  const wanted = new Set(linears.map(({ name }) => name));
  const { training, validation } = splitBatches(loss.batches);
  const order = shuffledBatches(training, randomSource(seed));
  const judge = async (): Promise<number> => loss.mean(validation, await roundedWeights(parameters, buffers, frozen));

  const roundingLoss = await judge();
  let best = { loss: roundingLoss, parameters: copyOf(parameters) };
  let idle = 0;
  for (let iteration = 0; iteration < iterations && idle < patience; iteration++) {
    const batch = order.next().value;
    const gradients = await loss.gradients(batch, await roundedWeights(parameters, buffers, frozen), wanted);
    const decay = 1 - iteration / iterations;
    for (const [linear, values] of parameters) {
      const gradient = gradients.get(linear.name);
      const into = buffers.get(linear)?.gradients;
      if (gradient && into)
        await step(linear, values, gradient, into, [learningRate * decay, rangeLearningRate * decay]);
    }
    loss.release(gradients);
    const every = Math.max(1, Math.floor(iterations / JUDGEMENTS));
    if ((iteration + 1) % every !== 0 && iteration + 1 !== iterations) continue;
    const now = await judge();
    idle = now < best.loss ? 0 : idle + 1;
    if (now < best.loss) best = { loss: now, parameters: copyOf(parameters) };
  }
  const matrices = new Map(
    [...best.parameters].map(([linear, values]) => [linear.name, encodeTrained(linear, values)]),
  );
  return { matrices, roundingLoss, loss: best.loss };
}

function startOf({ weights, columns, grid }: TrainedLinear): Parameters {
  const groups = (weights.length / columns) * groupCount(grid, columns);
  return {
    rounding: new Float32Array(weights.length),
    minimumScale: new Float32Array(groups).fill(1),
    maximumScale: new Float32Array(groups).fill(1),
  };
}

function buffersOf({ weights, columns, grid }: TrainedLinear): Buffers {
  const groups = (weights.length / columns) * groupCount(grid, columns);
  return {
    rounded: new Float32Array(weights.length),
    gradients: {
      rounding: new Float32Array(weights.length),
      minimumScale: new Float32Array(groups),
      maximumScale: new Float32Array(groups),
    },
  };
}

function copyOf(parameters: ReadonlyMap<TrainedLinear, Parameters>): Map<TrainedLinear, Parameters> {
  return new Map([...parameters].map(([linear, values]) => [linear, structuredClone(values)]));
}

/** Arguments of the native rounding. */
function roundingOf(
  { weights, columns, grid }: TrainedLinear,
  parameters: Parameters,
): Parameters & {
  readonly rows: number;
  readonly columns: number;
  readonly weights: Float32Array;
  readonly bits: number;
  readonly groupSize: number;
  readonly scheme: 'sym' | 'asym';
} {
  if (grid.scheme === 'min' || grid.scales === 'two-level')
    throw new InvalidOptionError('scheme', grid.scheme, ['sym', 'asym (with scales: half)']);
  const rows = weights.length / columns;
  return {
    rows,
    columns,
    weights,
    bits: grid.bits,
    groupSize: groupLength(grid, columns),
    scheme: grid.scheme,
    ...parameters,
  };
}

async function roundedWeights(
  parameters: ReadonlyMap<TrainedLinear, Parameters>,
  buffers: ReadonlyMap<TrainedLinear, Buffers>,
  frozen: Weights,
): Promise<Weights> {
  const rounded = new Map<string, Tensor>();
  for (const [linear, values] of parameters) {
    const out = buffers.get(linear)?.rounded;
    const data = await fakeQuantize({ ...roundingOf(linear, values), ...(out && { out }) });
    rounded.set(linear.name, { shape: [data.length / linear.columns, linear.columns], data });
  }
  return (name) => rounded.get(name) ?? frozen(name);
}

async function step(
  linear: TrainedLinear,
  parameters: Parameters,
  gradient: Float32Array,
  out: FakeQuantizeGradients,
  [learningRate, rangeLearningRate]: readonly [number, number],
): Promise<void> {
  const found = await fakeQuantizeBackward({ ...roundingOf(linear, parameters), gradient, out });
  await signStep(parameters.rounding, found.rounding, learningRate, [-0.5, 0.5]);
  await signStep(parameters.minimumScale, found.minimumScale, rangeLearningRate, [0, 1]);
  await signStep(parameters.maximumScale, found.maximumScale, rangeLearningRate, [0, 1]);
}

/** The codes that the native rounding computes with. */
function encodeTrained({ weights, columns, grid }: TrainedLinear, parameters: Parameters): QuantizedMatrix {
  const rows = weights.length / columns;
  const matrix = emptyMatrix(grid, rows, columns);
  const length = groupLength(grid, columns);
  const maxCode = 2 ** grid.bits - 1;
  const group: GroupParameters = { scale: 0, zeroPoint: 0, minimum: 0 };
  let index = 0;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column += length, index++) {
      const begin = row * columns + column;
      const end = row * columns + Math.min(column + length, columns);
      let [low, high] = [0, 0];
      for (let i = begin; i < end; i++) {
        const w = weights[i] as number;
        if (w < low) low = w;
        if (w > high) high = w;
      }
      const bottom = fround((parameters.minimumScale[index] as number) * low);
      const top = fround((parameters.maximumScale[index] as number) * high);
      fitRange(grid, bottom, top, 1, group);
      writeGroup(matrix, index, group);
      const { scale, zeroPoint } = group;
      const divisor = scale === 0 ? Infinity : scale;
      for (let i = begin; i < end; i++) {
        const offset = scale === 0 ? 0 : (parameters.rounding[i] as number);
        const q = fround(fround((weights[i] as number) / divisor) + offset) + ROUND - ROUND + zeroPoint;
        matrix.codes[i] = q < 0 ? 0 : q > maxCode ? maxCode : q;
      }
    }
  return matrix;
}
