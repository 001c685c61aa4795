import {
  checkOptions,
  InvalidOptionError,
  releaseArrays,
  roundColumns,
  sgemm,
  ShapeMismatchError,
  SingularMatrixError,
} from '@llm/tensor';
import { clipRatios, fitGroupBySearch, type ClipSearch } from '../clip-search.ts';
import { fitGroup, groupCount, groupLength, validateGrid, type Grid, type GroupParameters } from '../grid.ts';
import { inverseFactorOfReversed } from '../linear-algebra.ts';
import { checkWeights, emptyMatrix, quantizeMatrix, writeGroup, type QuantizedMatrix } from '../quantized-matrix.ts';
import { columnOrders, orderColumns, type ColumnOrder } from './column-order.ts';
import { PART_ELEMENTS, rowErrorsOf } from './output-error.ts';
import { keepBetterRows } from './row-guard.ts';

/** Options of {@link gptq}. */
export interface GptqOptions {
  /** Default `group-aware`. */
  readonly order?: ColumnOrder;
  /** Fraction of the mean of G's diagonal that is added to it; raised in steps of 0.01 until G can be factored. Default 0.05. */
  readonly damping?: number;
  /** Fit all grids on the original weights, before any column is rounded. Default false, but always with order `activation`. */
  readonly staticGroups?: boolean;
  /** Columns between two updates of the rest of the matrix. Changes the speed only. Default 128. */
  readonly blockSize?: number;
  /** Search each group's range, weighting columns by their mean square. Default false. */
  readonly clipSearch?: boolean | ClipSearch;
  /** Keep, row by row, plain rounding where it does better on G. Default true. */
  readonly guard?: boolean;
  /**
   * (X̂ - X)ᵀX / tokens, [columns, columns], where X is what the linear reads now and X̂ what it would read in the original model:
   * also makes up for the errors of earlier layers (GPTAQ, Li et al. 2025). Default none.
   */
  readonly inputError?: Float32Array;
  /** How much of that correction is applied; default 0.25. */
  readonly inputErrorWeight?: number;
  /** Shares the factor of G between calls with the same array G. Default: each call makes its own. */
  readonly shared?: SharedFactor;
  /** Names the matrix in errors. */
  readonly name?: string;
}

/** The fields of {@link GptqOptions} that a user sets. */
export const gptqOptions: readonly string[] = [
  'order',
  'damping',
  'staticGroups',
  'blockSize',
  'clipSearch',
  'guard',
  'inputErrorWeight',
];

export interface GptqResult {
  readonly matrix: QuantizedMatrix;
  /** tr(ΔGΔᵀ), and the same of plain rounding. */
  readonly outputError: number;
  readonly roundingError: number;
  /** tr(Δ(G + λI)Δᵀ) before the guard, as the columns' errors add up to it; NaN if G could not be factored. */
  readonly dampedError: number;
  /** The damping that was needed; infinite if G could not be factored at all and the matrix was rounded. */
  readonly damping: number;
  /** Rows where plain rounding was kept. */
  readonly guardedRows: number;
}

const DAMPING_STEP = 0.01;
const DAMPING_FLOORS = 6;

/**
 * Rounds the columns of a weight matrix one after another and makes up for each column's error in those that are left
 * (Frantar et al. 2022).
 *
 * @param weights - [rows, columns]
 * @param gram - G = XᵀX / tokens of the inputs, [columns, columns]
 */
export async function gptq(
  weights: Float32Array,
  gram: Float32Array,
  grid: Grid,
  options: GptqOptions = {},
): Promise<GptqResult> {
  checkOptions(options, [...gptqOptions, 'inputError', 'shared', 'name'], 'gptq()');
  validateGrid(grid);
  const { order = 'group-aware', damping = 0.05, guard = true, name = 'weights', clipSearch = false } = options;
  if (!columnOrders.includes(order)) throw new InvalidOptionError('order', order, columnOrders);
  if (!(damping >= 0 && damping < 1)) throw new InvalidOptionError('damping', String(damping), ['0 to 1']);
  const columns = Math.sqrt(gram.length);
  const rows = weights.length / columns;
  if (!Number.isInteger(columns) || !Number.isInteger(rows))
    throw new ShapeMismatchError(
      `${name}: ${weights.length} weights do not fit a Gram matrix of ${gram.length} values.`,
    );
  checkWeights(weights, columns, name);

  const diagonal = Float32Array.from({ length: columns }, (_, c) => gram[c * columns + c] as number);
  const fit = { clipSearch, importance: diagonal, name };
  const rounded = quantizeMatrix(weights, rows, columns, grid, fit);
  const roundingErrors = await rowErrorsOf(rounded, weights, gram);
  const roundingError = sum(roundingErrors);

  const permutation = orderColumns(order, grid, diagonal);
  using own = options.shared ? undefined : new SharedFactor();
  const factored = await (options.shared ?? own)?.of(gram, permutation, damping);
  if (!factored)
    return {
      matrix: rounded,
      outputError: roundingError,
      roundingError,
      dampedError: NaN,
      damping: Infinity,
      guardedRows: rows,
    };

  const problem: Problem = {
    rows,
    columns,
    grid,
    permutation,
    inverse: factored.inverse,
    correction: await correctionOf(options, permutation, factored.inverse),
    diagonal,
    ratios: clipSearch === false ? undefined : clipRatios(grid.bits, clipSearch === true ? {} : clipSearch),
    fixed: options.staticGroups === true || order === 'activation' || rounded.multipliers ? rounded : undefined,
    blockSize: options.blockSize ?? 128,
  };
  const { matrix, dampedError } = await compensate(problem, weights);
  releaseArrays(problem.correction);
  const errors = await rowErrorsOf(matrix, weights, gram);
  const guardedRows = guard ? keepBetterRows(matrix, errors, rounded, roundingErrors) : 0;
  return { matrix, outputError: sum(errors), roundingError, dampedError, damping: factored.damping, guardedRows };
}

interface Problem {
  readonly rows: number;
  readonly columns: number;
  readonly grid: Grid;
  readonly permutation: Int32Array;
  /** U with UᵀU = (G + damping)⁻¹, in permuted order. */
  readonly inverse: Float32Array;
  /** GPTAQ's P, in permuted order. */
  readonly correction: Float32Array | undefined;
  readonly diagonal: Float32Array;
  readonly ratios: readonly number[] | undefined;
  /** Where the grids are, if they are fixed. */
  readonly fixed: QuantizedMatrix | undefined;
  readonly blockSize: number;
}

/** The loop over columns, in blocks: inside a block column by column, beyond it by one matrix product. */
async function compensate(
  problem: Problem,
  weights: Float32Array,
): Promise<{ readonly matrix: QuantizedMatrix; readonly dampedError: number }> {
  const { rows, columns, grid, permutation, inverse, correction } = problem;
  const matrix = problem.fixed ? structuredClone(problem.fixed) : emptyMatrix(grid, rows, columns);
  const length = groupLength(grid, columns);
  const live = new Float32Array(weights.length);
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < columns; i++)
      live[row * columns + i] =
        problem.diagonal[permutation[i] as number] === 0
          ? 0
          : (weights[row * columns + (permutation[i] as number)] as number);

  const squares = new Float64Array(rows);
  const product = new Float32Array(Math.min(live.length, Math.max(columns, PART_ELEMENTS)));
  for (let begin = 0; begin < columns;) {
    const end = blockEnd(problem, begin);
    const errors = new Float32Array(rows * (end - begin));
    const values = correction && new Float32Array(rows * (end - begin));
    for (let first = begin; first < end;) {
      const next = problem.fixed ? end : Math.min(end, (Math.floor(first / length) + 1) * length);
      // Groups stay whole in the orders that fit on the way: a group begins where the last one was complete.
      if (!problem.fixed && first % length === 0) fitGroups(problem, matrix, live, first);
      await roundColumns({
        ...{ rows, columns, begin: first, end: next, stop: end, block: begin },
        ...{ live, inverse, correction, permutation, groupLength: length, bits: grid.bits },
        scales: matrix.scales,
        zeroPoints: grid.scheme === 'sym' ? undefined : matrix.zeroPoints,
        minima: matrix.minima,
        codes: matrix.codes,
        errors,
        values,
        squares,
      });
      first = next;
    }
    if (end < columns) {
      await addProduct(live, errors, inverse, columns, begin, end, -1, product);
      if (correction && values) await addProduct(live, values, correction, columns, begin, end, 1, product);
    }
    releaseArrays(errors, values);
    begin = end;
  }
  releaseArrays(live, product);
  return { matrix, dampedError: sum(squares) };
}

/** The end of a block: no later than `blockSize`, and at the start of a group that would not fit as a whole. */
function blockEnd({ columns, grid, blockSize, fixed }: Problem, begin: number): number {
  const end = Math.min(columns, begin + blockSize);
  if (fixed || end === columns) return end;
  const length = groupLength(grid, columns);
  const lastStart = Math.floor(end / length) * length;
  return lastStart > begin ? lastStart : end;
}

/** Fits the grids of all rows' groups that begin at a place in the order, on the weights as they are. */
function fitGroups(
  { rows, columns, grid, permutation, diagonal, ratios }: Problem,
  matrix: QuantizedMatrix,
  live: Float32Array,
  first: number,
): void {
  const length = groupLength(grid, columns);
  const groups = groupCount(grid, columns);
  const index = Math.floor((permutation[first] as number) / length);
  const width = Math.min(length, columns - first);
  const importance = Float32Array.from(
    { length: width },
    (_, c) => diagonal[permutation[first + c] as number] as number,
  );
  const group: GroupParameters = { scale: 0, zeroPoint: 0, minimum: 0 };
  for (let row = 0; row < rows; row++) {
    const begin = row * columns + first;
    if (ratios) fitGroupBySearch(grid, ratios, live, begin, begin + width, group, importance, 0);
    else fitGroup(grid, live, begin, begin + width, group);
    writeGroup(matrix, row * groups + index, group);
  }
}

/** live[:, end:] += factor left · factors[begin:end, end:], in parts of the rows that fit in `scratch`. */
async function addProduct(
  live: Float32Array,
  left: Float32Array,
  factors: Float32Array,
  columns: number,
  begin: number,
  end: number,
  factor: 1 | -1,
  scratch: Float32Array,
): Promise<void> {
  const k = end - begin;
  const n = columns - end;
  const m = live.length / columns;
  const b = new Float32Array(k * n);
  for (let i = 0; i < k; i++) b.set(factors.subarray((begin + i) * columns + end, (begin + i + 1) * columns), i * n);
  const step = Math.floor(scratch.length / n);
  for (let first = 0; first < m; first += step) {
    const rows = Math.min(step, m - first);
    const a = left.subarray(first * k, (first + rows) * k);
    const product = await sgemm({ m: rows, n, k, a, b, alpha: factor, c: scratch.subarray(0, rows * n) });
    for (let row = 0; row < rows; row++)
      for (let j = 0; j < n; j++) {
        const at = (first + row) * columns + end + j;
        live[at] = (live[at] as number) + (product[row * n + j] as number);
      }
  }
  releaseArrays(b);
}

/** A factored Gram matrix. */
export interface Factor {
  readonly inverse: Float32Array;
  readonly damping: number;
}

/** Keeps the factor of one Gram matrix, for all the linears that read its input; another matrix takes its place. */
export class SharedFactor implements Disposable {
  #gram: Float32Array | undefined;
  #key: string | undefined;
  #factor: Factor | undefined;

  async of(gram: Float32Array, permutation: Int32Array, damping: number): Promise<Factor | undefined> {
    const key = `${damping}:${permutation.join()}`;
    if (this.#gram !== gram || this.#key !== key) {
      this[Symbol.dispose]();
      this.#factor = await factor(gram, permutation, damping);
      this.#gram = gram;
      this.#key = key;
    }
    return this.#factor;
  }

  [Symbol.dispose](): void {
    releaseArrays(this.#factor?.inverse);
    this.#factor = undefined;
    this.#gram = undefined;
    this.#key = undefined;
  }
}

/** The damped factor of G in the order of the permutation; more damping where it is needed, undefined where nothing helps. */
async function factor(gram: Float32Array, permutation: Int32Array, damping: number): Promise<Factor | undefined> {
  const columns = permutation.length;
  // The factorization wants the last column first.
  const reversed = permutation.toReversed();
  const diagonal = Float32Array.from(reversed, (c) => gram[c * columns + c] as number);
  const mean = sum(Float64Array.from(diagonal)) / columns;
  const largest = diagonal.reduce((a, b) => Math.max(a, b), 0);
  if (!(mean > 0) || !Number.isFinite(mean)) return undefined;
  const attempts: number[] = [];
  for (let extra = damping; extra < 1; extra = extra < 0.1 ? extra + DAMPING_STEP : extra * 1.5) attempts.push(extra);
  const floors = Array.from({ length: DAMPING_FLOORS }, (_, k) => 1 + (1e-6 * 10 ** k * largest) / mean);
  for (const extra of [...attempts, ...floors]) {
    const damped = permute(gram, reversed);
    for (let c = 0; c < columns; c++) {
      const value = diagonal[c] as number;
      // A dead column has no say in the others.
      damped[c * columns + c] = (value === 0 ? mean : value) + extra * mean;
    }
    try {
      return { inverse: await inverseFactorOfReversed(damped, columns), damping: extra };
    } catch (error) {
      releaseArrays(damped);
      if (!(error instanceof SingularMatrixError)) throw error;
    }
  }
  return undefined;
}

/** P = weight · triu(DUᵀ, 1) U with D = (X̂ - X)ᵀX: how much of a column's value its later columns take over. */
async function correctionOf(
  { inputError, inputErrorWeight = 0.25 }: GptqOptions,
  permutation: Int32Array,
  inverse: Float32Array,
): Promise<Float32Array | undefined> {
  if (!inputError) return undefined;
  const n = permutation.length;
  const d = permute(inputError, permutation);
  const left = await sgemm({ m: n, n, k: n, a: d, b: inverse, transposeB: true });
  for (let i = 0; i < n; i++) left.fill(0, i * n, i * n + i + 1);
  const product = await sgemm({ m: n, n, k: n, a: left, b: inverse });
  releaseArrays(d, left);
  for (let i = 0; i < product.length; i++) product[i] = (product[i] as number) * inputErrorWeight;
  return product;
}

function permute(matrix: Float32Array, permutation: Int32Array): Float32Array {
  const n = permutation.length;
  const out = new Float32Array(n * n);
  for (let i = 0; i < n; i++) {
    const from = (permutation[i] as number) * n;
    for (let j = 0; j < n; j++) out[i * n + j] = matrix[from + (permutation[j] as number)] as number;
  }
  return out;
}

function sum(values: Float64Array): number {
  return values.reduce((total, value) => total + value, 0);
}
