import { TokenizerError, type Checkpoint } from '@llm/models';
import {
  linearComputes,
  linearsByInput,
  linearWeight,
  Matrix,
  MatmulTimer,
  matmul,
  packedByteLength,
  roundMatrix,
  type Graph,
  type LinearCompute,
  type MatrixDescription,
  type Tensor,
} from '@llm/tensor';
import { calibrationSequences, type CalibrationOptions } from '../calibration/options.ts';
import type { Document } from '../calibration/sequences.ts';
import { GraphWalk } from '../calibration/graph-walk.ts';
import { TensorStore } from '../calibration/tensor-store.ts';
import { openSource } from '../source.ts';
import type { Trial } from './trial.ts';

/** What rounded activations do to the linears that read one input, and what their arithmetic takes. */
export interface InputMeasurement {
  readonly weights: readonly WeightTimes[];
  /**
   * Squared error of the linears' outputs, relative to them, by arithmetic: |y' - y|² / |y|². Of `f32` it is 0, and of `bf16` on
   * processors that compute that in float32.
   */
  readonly errors: Readonly<Record<LinearCompute, number>>;
}

/** Milliseconds that a product with one row of activations takes, with the weight as it is and with 8 bits. */
export interface WeightTimes {
  readonly weight: string;
  readonly now: Readonly<Record<LinearCompute, number>>;
  readonly raised: Readonly<Record<LinearCompute, number>>;
}

export interface MeasureActivationsOptions {
  /** The layers as they were quantized: their bits and groups decide which kernels run. */
  readonly layers: Trial['layers'];
  /** Default: a short English text; tokens from all over the vocabulary for a model without a tokenizer. */
  readonly calibration?: CalibrationOptions;
  readonly signal?: AbortSignal;
}

/** Outliers sit in the same channels whatever the text says, so that little of it finds them. */
const samples = 4;
const sampleTokens = 64;
const mostRows = 64;

/** Copies of a weight are timed in turn, as a model's layers are: more than caches hold, unless the model itself is that small. */
const workingSet = 2 ** 27;
const copies = 64;

const sampleText =
  'In the morning the ferry was late, and everyone on the quay had something to say about it. A fisherman told two children how ' +
  'his grandfather had once rowed across the whole bay in the fog, counting the strokes; 412 there, 430 back. The baker sold her ' +
  'last loaf at half past nine. When the boat came in at last, its captain shouted "Sorry!" and threw the line, which nobody ' +
  'caught. By noon the rain had stopped, the market was full, and the price of apples had fallen to $1.20 a kilogram. ';

/**
 * Runs a little text through a model once, in float32, and measures at the input of every linear how far the kernels are off with each
 * arithmetic, and how long they take on this machine.
 */
export async function measureActivations(
  source: string,
  { layers, calibration, signal }: MeasureActivationsOptions,
): Promise<InputMeasurement[]> {
  using checkpoint = await openSource(source);
  const { graph, vocabularySize } = checkpoint.architecture.build(checkpoint.config);
  const documents = calibration?.documents ?? (await ownDocuments(checkpoint, vocabularySize));
  const draw = { documents, samples, length: Math.min(sampleTokens, calibration?.length ?? sampleTokens) };
  const sequences = await calibrationSequences(checkpoint, draw, signal);
  const known = new Map(layers.map((layer) => [layer.weight, layer]));
  const shapes = shapesOf(graph);
  const weight = (name: string): Tensor => ({ shape: shapes.get(name) ?? [], data: checkpoint.read(name) });
  const times = new KernelTimes();
  const found: InputMeasurement[] = [];
  await using store = new TensorStore(2 ** 28);
  const walk = new GraphWalk(graph, sequences, store, signal ? { signal } : {});
  for (const { input, linears } of linearsByInput(graph)) {
    let sample: Float32Array | undefined;
    const listen = ({ data }: Tensor): void => {
      sample ??= Float32Array.from(data);
    };
    await walk.advance(linears[0], weight, input, listen);
    const names = linears.map((linear) => linearWeight(linear).attributes.name).filter((name) => known.has(name));
    if (!sample || names.length === 0) continue;
    const sums = new OutputErrors();
    const weights: WeightTimes[] = [];
    for (const name of names) {
      signal?.throwIfAborted();
      const [rows = 0, columns = 0] = shapes.get(name) ?? [];
      const { bits, groupSize } = known.get(name)!;
      const describe = (format: 'int4-sym' | 'int8'): MatrixDescription => ({
        ...{ format, rows, columns },
        ...(groupSize !== -1 && groupSize < columns && { groupSize }),
      });
      const [now, raised] = [describe(bits > 4 ? 'int8' : 'int4-sym'), describe('int8')];
      using dense = Matrix.fromFloat32(checkpoint.read(name), rows, columns);
      using packed = await roundMatrix(dense, {
        format: bits > 4 ? 'int8' : 'int4-sym',
        ...(now.groupSize !== undefined && { groupSize: now.groupSize }),
      });
      sums.add(sample, packed);
      weights.push({ weight: name, now: times.of(now), raised: times.of(raised) });
    }
    found.push({ weights, errors: sums.relative });
  }
  return found;
}

async function ownDocuments(checkpoint: Checkpoint, vocabularySize: number): Promise<Document[]> {
  try {
    await checkpoint.tokenizer();
    return [sampleText.repeat(4)];
  } catch (error) {
    if (!(error instanceof TokenizerError)) throw error;
    return [Int32Array.from({ length: samples * sampleTokens }, (_, i) => (i * 7919) % vocabularySize)];
  }
}

function shapesOf(graph: Graph): Map<string, readonly number[]> {
  return new Map(
    graph.nodes.flatMap((node) =>
      node.op === 'weight' ? [[node.attributes.name, node.attributes.shape] as const] : [],
    ),
  );
}

/** Adds up squared errors of outputs over the linears of one input. */
class OutputErrors {
  readonly #errors: Record<LinearCompute, number> = { int8: 0, bf16: 0, f32: 0 };
  #square = 0;

  add(sample: Float32Array, weight: Matrix): void {
    const rows = Math.min(mostRows, sample.length / weight.columns);
    const x = sample.subarray(0, rows * weight.columns);
    const exact = matmul(x, weight, { rows, compute: 'f32' });
    for (const value of exact) this.#square += value * value;
    for (const compute of ['int8', 'bf16'] as const) {
      const rounded = matmul(x, weight, { rows, compute });
      for (const [i, value] of rounded.entries()) this.#errors[compute] += (value - exact[i]!) ** 2;
    }
  }

  get relative(): Readonly<Record<LinearCompute, number>> {
    const { int8, bf16 } = this.#errors;
    const whole = Math.max(this.#square, Number.MIN_VALUE);
    return { int8: int8 / whole, bf16: bf16 / whole, f32: 0 };
  }
}

/** Times of kernels by shape, each measured once. */
class KernelTimes {
  readonly #known = new Map<string, Readonly<Record<LinearCompute, number>>>();

  of(weight: MatrixDescription): Readonly<Record<LinearCompute, number>> {
    const key = JSON.stringify(weight);
    const known = this.#known.get(key);
    if (known) return known;
    using timer = new MatmulTimer(weight, Math.min(workingSet, copies * packedByteLength(weight)));
    const entries = linearComputes.map((compute) => {
      const { seconds } = timer.time({ rows: 1, compute, repeats: 50, seconds: 0.05 });
      return [compute, (seconds[Math.floor(seconds.length / 2)] ?? 0) * 1000] as const;
    });
    const measured = Object.fromEntries(entries) as Record<LinearCompute, number>;
    this.#known.set(key, measured);
    return measured;
  }
}
