import { releaseArrays, roundingErrors, rowProducts, sgemm } from '@llm/tensor';
import { clipRatios, type ClipSearch } from '../clip-search.ts';
import { fitRange, groupCount, groupLength, type Grid, type GroupParameters } from '../grid.ts';
import { fround, ROUND } from '../half.ts';
import {
  checkWeights,
  emptyMatrix,
  encodeGroup,
  quantizeMatrix,
  writeGroup,
  type QuantizedMatrix,
} from '../quantized-matrix.ts';
import { roundsNatively } from './round-to-nearest.ts';

/** Floats that the trials of one product may take together. */
const TRIAL_FLOATS = 2 ** 21;

/**
 * Rounds to nearest with the range of each group that gives its outputs the least error, δ G_gg δᵀ for the part G_gg of the Gram
 * matrix that belongs to the group: AWQ's clip search over all tokens, without running them again. The range as it is is always
 * among the candidates.
 *
 * @param weights - [rows, columns]
 * @param gram - [columns, columns]
 */
export async function quantizeByGram(
  weights: Float32Array,
  rows: number,
  columns: number,
  grid: Grid,
  gram: Float32Array,
  search: ClipSearch = {},
  name = 'weights',
): Promise<QuantizedMatrix> {
  checkWeights(weights, columns, name);
  const ratios = clipRatios(grid.bits, search);
  if (grid.scales === 'two-level') {
    // Scales of a row hang together: weigh the columns by themselves.
    const importance = Float32Array.from({ length: columns }, (_, c) => gram[c * columns + c] as number);
    return quantizeMatrix(weights, rows, columns, grid, { clipSearch: search, importance, name });
  }
  const matrix = emptyMatrix(grid, rows, columns);
  const length = groupLength(grid, columns);
  const groups = groupCount(grid, columns);
  const scratch = new TrialScratch(rows * length, ratios.length);
  const group: GroupParameters = { scale: 0, zeroPoint: 0, minimum: 0 };
  for (let g = 0; g < groups; g++) {
    const column = g * length;
    const width = Math.min(length, columns - column);
    const best = await bestRatios(
      weights,
      rows,
      columns,
      column,
      width,
      grid,
      blockOf(gram, columns, column, width),
      ratios,
      scratch,
    );
    for (let row = 0; row < rows; row++) {
      const begin = row * columns + column;
      const [low, high] = rangeOf(weights, begin, width);
      fitRange(grid, low, high, best[row] as number, group);
      writeGroup(matrix, row * groups + g, group);
      encodeGroup(matrix, weights, begin, begin + width, group);
    }
  }
  scratch.release();
  return matrix;
}

/** For each row the ratio with the least error in one group. */
async function bestRatios(
  weights: Float32Array,
  rows: number,
  columns: number,
  column: number,
  width: number,
  grid: Grid,
  gram: Float32Array,
  ratios: readonly number[],
  scratch: TrialScratch,
): Promise<Float64Array> {
  const best = new Float64Array(rows);
  const least = new Float64Array(rows).fill(Infinity);
  const size = rows * width;
  const part = scratch.weights.subarray(0, size);
  for (let row = 0; row < rows; row++)
    part.set(weights.subarray(row * columns + column, row * columns + column + width), row * width);
  for (let first = 0; first < ratios.length; first += scratch.together) {
    const trials = ratios.slice(first, first + scratch.together);
    const errors = scratch.errors.subarray(0, trials.length * size);
    const product = scratch.products.subarray(0, trials.length * size);
    for (const [t, ratio] of trials.entries())
      await writeErrors(part, rows, width, grid, ratio, errors.subarray(t * size, (t + 1) * size));
    await sgemm({ m: trials.length * rows, n: width, k: width, a: errors, b: gram, c: product });
    const found = new Float64Array(trials.length * rows);
    await rowProducts(errors, product, found);
    for (const [t, ratio] of trials.entries())
      for (let row = 0; row < rows; row++) {
        const error = found[t * rows + row] as number;
        if (error >= (least[row] as number)) continue;
        least[row] = error;
        best[row] = ratio;
      }
  }
  // NaN would leave nothing chosen; a Gram matrix that was checked has none.
  return best.map((ratio) => ratio || 1);
}

/** Memory for the trials of one group, used again for the next. */
class TrialScratch {
  /** Trials that are made at once. */
  readonly together: number;
  readonly weights: Float32Array;
  readonly errors: Float32Array;
  readonly products: Float32Array;

  constructor(size: number, ratios: number) {
    this.together = Math.max(1, Math.min(ratios, Math.floor(TRIAL_FLOATS / size)));
    this.weights = new Float32Array(size);
    this.errors = new Float32Array(this.together * size);
    this.products = new Float32Array(this.together * size);
  }

  release(): void {
    releaseArrays(this.weights, this.errors, this.products);
  }
}

/** w - w' of one group of every row, [rows, width], under one ratio. */
async function writeErrors(
  weights: Float32Array,
  rows: number,
  width: number,
  grid: Grid,
  ratio: number,
  out: Float32Array,
): Promise<void> {
  const { bits } = grid;
  if (roundsNatively(grid)) {
    const scale = new Float32Array(rows).fill(ratio);
    const { scheme } = grid;
    const sizes = { rows, columns: width, groupSize: -1 };
    await roundingErrors({ ...sizes, weights, bits, scheme, minimumScale: scale, maximumScale: scale, out });
    return;
  }
  const maxCode = 2 ** bits - 1;
  const group: GroupParameters = { scale: 0, zeroPoint: 0, minimum: 0 };
  for (let begin = 0; begin < out.length; begin += width) {
    const [low, high] = rangeOf(weights, begin, width);
    fitRange(grid, low, high, ratio, group);
    const { scale, zeroPoint, minimum } = group;
    const divisor = scale === 0 ? Infinity : scale;
    for (let i = begin; i < begin + width; i++) {
      const w = weights[i] as number;
      let q = fround((w - minimum) / divisor) + ROUND - ROUND + zeroPoint;
      q = q < 0 ? 0 : q > maxCode ? maxCode : q;
      out[i] = w - (scale * (q - zeroPoint) + minimum);
    }
  }
}

/** Smallest and largest weight of a group. */
type Range = readonly [number, number];

function rangeOf(weights: Float32Array, begin: number, width: number): Range {
  let low = Infinity;
  let high = -Infinity;
  for (let i = begin; i < begin + width; i++) {
    const w = weights[i] as number;
    if (w < low) low = w;
    if (w > high) high = w;
  }
  return [low, high];
}

/** The square of the Gram matrix on its diagonal that belongs to some neighbouring columns. */
function blockOf(gram: Float32Array, columns: number, column: number, width: number): Float32Array {
  const block = new Float32Array(width * width);
  for (let i = 0; i < width; i++) {
    const from = (column + i) * columns + column;
    block.set(gram.subarray(from, from + width), i * width);
  }
  return block;
}
