import { sgemm } from '../blas.ts';
import { backend } from '../backend/load.ts';
import { translateError } from '../backend/translate-errors.ts';
import type { Addon } from '../backend/backend.ts';
import type { CausalAttentionInputs } from '../backend/operator-calls.ts';
import { cpuInfo } from '../cpu.ts';
import type {
  AttentionAttributes,
  NormAttributes,
  OperatorAttributes,
  OperatorName,
  RopeAttributes,
} from '../graph/attributes.ts';
import type { Node } from '../graph/node.ts';
import { columnCount, rowCount, type FloatArray, type Tensor } from '../tensor.ts';
import { ArrayPool } from './array-pool.ts';
import { sum } from './elementwise.ts';
import { input } from './inputs.ts';
import type { GradientRequest, Gradients, Product, Step } from './operator.ts';
import { computeWith } from './product.ts';
import { ropeTable } from './rope-table.ts';
import { operators } from './table.ts';

/** Tables of angles that are kept: two for each direction, as models with two kinds of layers need. */
const KEPT_TABLES = 4;

/**
 * The operators of whole batches of tokens by native code, forwards and backwards, for float32 tensors; what native code does not
 * have, or another type, is done by the plain operators. Results agree with those of the plain ones up to rounding and do not
 * depend on the number of threads.
 */
export class NativeOperators {
  /** Where results are allocated. Whoever drops a value may give it back. */
  readonly arrays: ArrayPool = new ArrayPool();
  readonly #signal: AbortSignal | undefined;
  readonly #tables = new Map<string, Float32Array>();

  /** @param signal - rejects with its reason before the next operator */
  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /** C [m, n] = A B. */
  async product(product: Product): Promise<FloatArray> {
    this.#signal?.throwIfAborted();
    const { m, n } = product;
    return sgemm({ ...product, a: single(product.a), b: single(product.b), c: this.arrays.allocate(m * n) });
  }

  /** The output of a node from its inputs. */
  async evaluate(node: Node, inputs: readonly Tensor[], step: Step): Promise<Tensor> {
    this.#signal?.throwIfAborted();
    const found = allSingle(inputs) ? await this.#evaluate(node, inputs, step) : undefined;
    if (found) return found;
    const work = operators[node.op].evaluate?.(inputs, node.attributes as never, step);
    if (!work) throw new RangeError(`${node.op} has to be given its value.`);
    return computeWith(work, (product) => this.product(product));
  }

  /** The gradients of a node's inputs. */
  async gradient<Op extends OperatorName>(op: Op, request: GradientRequest<Op>): Promise<Gradients> {
    this.#signal?.throwIfAborted();
    const found = allSingle([request.dy, ...request.inputs]) ? await this.#gradient(op, request) : undefined;
    if (found) return found;
    const work = operators[op].gradient?.(request) ?? [];
    return computeWith(work, (product) => this.product(product));
  }

  /** a + b */
  async sum(a: Tensor, b: Tensor): Promise<Tensor> {
    return allSingle([a, b]) ? this.#map('add', a, b) : sum(a, b);
  }

  async #evaluate(node: Node, inputs: readonly Tensor[], step: Step): Promise<Tensor | undefined> {
    switch (node.op) {
      case 'linear':
        return this.#linear(inputs);
      case 'add':
      case 'mul':
        // A vector for all rows is left to the plain operator.
        return isVector(inputs[1]) ? undefined : this.#map(node.op, input(inputs, 0), input(inputs, 1));
      case 'silu':
      case 'gelu':
      case 'geluTanh':
      case 'relu':
        return this.#map(node.op, input(inputs, 0));
      case 'rmsNorm':
      case 'layerNorm':
        return this.#norm(node.op === 'layerNorm', inputs, node.attributes);
      case 'rope':
        return this.#rotate(input(inputs, 0), node.attributes, step, 1);
      case 'attention':
        return this.#attention(inputs, node.attributes, step);
      default:
        return undefined;
    }
  }

  async #gradient<Op extends OperatorName>(
    op: Op,
    { dy, inputs, attributes, step, wanted }: GradientRequest<Op>,
  ): Promise<Gradients | undefined> {
    switch (op) {
      case 'mul':
        if (isVector(inputs[1])) return undefined;
        return [
          wanted[0] ? await this.#map('mul', dy, input(inputs, 1)) : undefined,
          wanted[1] ? await this.#map('mul', dy, input(inputs, 0)) : undefined,
        ];
      case 'silu':
      case 'gelu':
      case 'geluTanh':
      case 'relu':
        return [await this.#map(`${op}Gradient`, input(inputs, 0), dy)];
      case 'rmsNorm':
      case 'layerNorm': {
        if (wanted[1] === true || wanted[2] === true) return undefined;
        const [x, weight, norm] = [input(inputs, 0), input(inputs, 1), attributes as NormAttributes];
        const dx = this.#like(x);
        const centred = op === 'layerNorm';
        await call((addon, isa) =>
          addon.normalizeRowsBackward(isa, centred, norm.epsilon, data(x), shifted(weight, norm), data(dy), data(dx)),
        );
        return [dx];
      }
      case 'rope':
        return [await this.#rotate(dy, attributes as RopeAttributes, step, -1)];
      case 'attention': {
        const native = attentionInputs(inputs, attributes as AttentionAttributes, step);
        if (!native) return undefined;
        const gradients = inputs.map((x) => this.#like(x));
        const [dq, dk, dv] = gradients.map(data) as [Float32Array, Float32Array, Float32Array];
        await call((addon, isa) => addon.causalAttentionBackward(isa, ...native, data(dy), dq, dk, dv));
        return gradients;
      }
      default:
        return undefined;
    }
  }

  async #linear(inputs: readonly Tensor[]): Promise<Tensor> {
    const [x, weight, bias] = [input(inputs, 0), input(inputs, 1), inputs[2]];
    const [n = 1, k = 1] = weight.shape;
    const m = rowCount(x);
    const out = single(await this.product({ m, n, k, a: x.data, b: weight.data, transposeB: true }));
    if (bias) await call((addon, isa) => addon.addBias(isa, data(bias), out));
    return { shape: [m, n], data: out };
  }

  async #map(name: string, x: Tensor, y?: Tensor): Promise<Tensor> {
    const out = this.#like(x);
    await call((addon, isa) => addon.mapValues(isa, name, data(x), y && data(y), data(out)));
    return out;
  }

  async #norm(centred: boolean, inputs: readonly Tensor[], attributes: NormAttributes): Promise<Tensor> {
    const [x, weight, bias] = [input(inputs, 0), input(inputs, 1), inputs[2]];
    const out = this.#like(x);
    await call((addon, isa) =>
      addon.normalizeRows(
        isa,
        centred,
        attributes.epsilon,
        data(x),
        shifted(weight, attributes),
        bias && data(bias),
        data(out),
      ),
    );
    return out;
  }

  async #rotate(x: Tensor, attributes: RopeAttributes, step: Step, direction: 1 | -1): Promise<Tensor> {
    const out = this.#like(x);
    const angles = this.#angles(attributes, step, direction);
    const { headDim, rotaryDim, style } = attributes;
    const [rows, columns] = [rowCount(x), columnCount(x)];
    const interleaved = style === 'interleaved';
    await call((addon, isa) =>
      addon.rotateRows(isa, rows, columns, headDim, rotaryDim, interleaved, angles, data(x), data(out)),
    );
    return out;
  }

  /** cos and sin for every token of a step: [tokens, rotaryDim / 2, 2]. */
  #angles(attributes: RopeAttributes, { sequences }: Step, direction: 1 | -1): Float32Array {
    const key = JSON.stringify([attributes, sequences, direction]);
    const known = this.#tables.get(key);
    if (known) return known;
    const { rotaryDim } = attributes;
    const table = new Float32Array(sequences.reduce((sum, length) => sum + length, 0) * rotaryDim);
    let at = 0;
    for (const length of sequences) {
      table.set(ropeTable(attributes, length), at);
      at += length * rotaryDim;
    }
    if (direction < 0) for (let i = 1; i < table.length; i += 2) table[i] = -(table[i] as number);
    const [oldest] = this.#tables.keys();
    if (oldest !== undefined && this.#tables.size >= KEPT_TABLES) this.#tables.delete(oldest);
    this.#tables.set(key, table);
    return table;
  }

  async #attention(
    inputs: readonly Tensor[],
    attributes: OperatorAttributes['attention'],
    step: Step,
  ): Promise<Tensor | undefined> {
    const native = attentionInputs(inputs, attributes, step);
    if (!native) return undefined;
    const out = this.#like(input(inputs, 0));
    await call((addon, isa) => addon.causalAttention(isa, ...native, data(out)));
    return out;
  }

  #like({ shape, data: { length } }: Tensor): Tensor {
    return { shape, data: this.arrays.allocate(length) };
  }
}

/** Moves values by `rate` against the sign of their gradient, where it is not 0, inside [low, high]; in place. */
export async function signStep(
  values: Float32Array,
  gradient: Float32Array,
  rate: number,
  [low, high]: readonly [number, number],
): Promise<void> {
  await call((addon) => addon.signStep(gradient, rate, low, high, values));
}

/** Adds the columns' |x| and x² of a matrix [rows, columns] to sums in double precision. */
export async function addMoments(x: Float32Array, absolute: Float64Array, squares: Float64Array): Promise<void> {
  await call((addon) => addon.addMoments(x, absolute, squares));
}

/** The products of the rows of two matrices [rows, columns] of one shape, summed in double precision: [rows]. */
export async function rowProducts(x: Float32Array, y: Float32Array, products: Float64Array): Promise<void> {
  await call((addon) => addon.rowProducts(x, y, products));
}

/** What the native attention is given; undefined for what it does not do. */
function attentionInputs(
  inputs: readonly Tensor[],
  { heads, kvHeads, headDim, scale, window = 0, softcap, alibi }: AttentionAttributes,
  { sequences }: Step,
): Without<CausalAttentionInputs> | undefined {
  if (softcap !== undefined || alibi || !(scale > 0)) return undefined;
  const [q, k, v] = [input(inputs, 0), input(inputs, 1), input(inputs, 2)];
  return [Int32Array.from(sequences), heads, kvHeads, headDim, scale, window, data(q), data(k), data(v)];
}

/** Arguments behind the first. */
type Without<Arguments extends unknown[]> = Arguments extends [unknown, ...infer Rest] ? Rest : never;

function isVector(tensor: Tensor | undefined): boolean {
  return tensor?.shape.length === 1;
}

function allSingle(tensors: readonly Tensor[]): boolean {
  return tensors.every((tensor) => tensor.data instanceof Float32Array);
}

/** Of a tensor that {@link allSingle} has seen. */
function data(tensor: Tensor): Float32Array {
  return tensor.data as Float32Array;
}

function single(x: FloatArray): Float32Array {
  return x instanceof Float32Array ? x : Float32Array.from(x);
}

/** A norm's weight with its offset. */
function shifted(weight: Tensor, attributes: NormAttributes): Float32Array {
  const { weightOffset = 0 } = attributes as OperatorAttributes['rmsNorm'];
  return weightOffset === 0 ? data(weight) : data(weight).map((value) => value + weightOffset);
}

async function call(run: (addon: Addon, isa: string) => Promise<void>): Promise<void> {
  try {
    await run(backend().addon, cpuInfo().isa);
  } catch (error) {
    throw translateError(error);
  }
}
