import { ShapeMismatchError } from '@llm/tensor';
import { UnquantizableWeightError } from './errors.ts';
import { clipRatios, fitGroupBySearch, type ClipSearch } from './clip-search.ts';
import { fitGroup, groupCount, groupLength, validateGrid, type Grid, type GroupParameters } from './grid.ts';
import { fround, HALF_MAX, ROUND } from './half.ts';
import { fitMultiplier } from './two-level.ts';

/** A weight matrix [rows][columns] as integers and the grids that they refer to. */
export interface QuantizedMatrix {
  readonly grid: Grid;
  readonly rows: number;
  readonly columns: number;
  /** [rows][columns], 0 .. 2^bits - 1. */
  readonly codes: Uint8Array;
  /** [rows][groups]: half-precision values, or with two levels the product of both. */
  readonly scales: Float32Array;
  /** [rows], of two-level scales. */
  readonly rowScales?: Float32Array;
  /** [rows][groups], 1 .. 16, of two-level scales. */
  readonly multipliers?: Uint8Array;
  /** [rows][groups], of the scheme `asym`. */
  readonly zeroPoints?: Uint8Array;
  /** [rows][groups], half-precision values, of the scheme `min`. */
  readonly minima?: Float32Array;
}

/** How {@link quantizeMatrix} fits the grid of each group. */
export interface FitOptions {
  /** Search for the range with the least squared error instead of taking minimum and maximum. Default false. */
  readonly clipSearch?: boolean | ClipSearch;
  /** Weight of each column [columns] in the search: the mean square of the inputs. Default 1 for all. */
  readonly importance?: Float32Array;
  /** Names the matrix in errors. */
  readonly name?: string;
}

/** A quantized matrix of zeros. */
export function emptyMatrix(grid: Grid, rows: number, columns: number): QuantizedMatrix {
  const groups = rows * groupCount(grid, columns);
  return {
    grid,
    rows,
    columns,
    codes: new Uint8Array(rows * columns),
    scales: new Float32Array(groups),
    ...(grid.scheme === 'asym' && { zeroPoints: new Uint8Array(groups) }),
    ...(grid.scheme === 'min' && { minima: new Float32Array(groups) }),
    ...(grid.scales === 'two-level' && {
      rowScales: new Float32Array(rows),
      multipliers: new Uint8Array(groups).fill(1),
    }),
  };
}

/** Reads the grid of one group, by its index row * groups + group, into `out`. */
export function readGroup(matrix: QuantizedMatrix, index: number, out: GroupParameters): void {
  out.scale = matrix.scales[index] ?? 0;
  out.zeroPoint = matrix.grid.scheme === 'sym' ? 2 ** (matrix.grid.bits - 1) : (matrix.zeroPoints?.[index] ?? 0);
  out.minimum = matrix.minima?.[index] ?? 0;
}

/** Stores the grid of one group. */
export function writeGroup(matrix: QuantizedMatrix, index: number, group: GroupParameters): void {
  matrix.scales[index] = group.scale;
  if (matrix.zeroPoints) matrix.zeroPoints[index] = group.zeroPoint;
  if (matrix.minima) matrix.minima[index] = group.minimum;
}

/** Codes of a group under its grid; also used when only the grid has been decided elsewhere. */
export function encodeGroup(
  matrix: QuantizedMatrix,
  weights: Float32Array,
  begin: number,
  end: number,
  { scale, zeroPoint, minimum }: GroupParameters,
): void {
  const { codes } = matrix;
  const maxCode = 2 ** matrix.grid.bits - 1;
  const divisor = scale === 0 ? Infinity : scale;
  for (let i = begin; i < end; i++) {
    const q = fround(((weights[i] ?? 0) - minimum) / divisor) + ROUND - ROUND + zeroPoint;
    codes[i] = q < 0 ? 0 : q > maxCode ? maxCode : q;
  }
}

/**
 * Rounds a matrix to the nearest codes of a grid (RTN): weights [rows][columns], scales rounded to half precision first.
 * @throws {@link UnquantizableWeightError} for NaN, infinity, or magnitudes above 65504
 */
export function quantizeMatrix(
  weights: Float32Array,
  rows: number,
  columns: number,
  grid: Grid,
  options: FitOptions = {},
): QuantizedMatrix {
  validateGrid(grid);
  if (weights.length !== rows * columns)
    throw new ShapeMismatchError(`${rows} x ${columns} weights were announced, and ${weights.length} given.`);
  checkWeights(weights, columns, options.name ?? 'weights');

  const matrix = emptyMatrix(grid, rows, columns);
  const length = groupLength(grid, columns);
  const group: GroupParameters = { scale: 0, zeroPoint: 0, minimum: 0 };
  const search = options.clipSearch ?? false;
  const ratios = search === false ? undefined : clipRatios(grid.bits, search === true ? {} : search);
  let index = 0;
  for (let row = 0; row < rows; row++) {
    const start = row * columns;
    for (let column = 0; column < columns; column += length, index++) {
      const begin = start + column;
      const end = start + Math.min(column + length, columns);
      if (ratios) fitGroupBySearch(grid, ratios, weights, begin, end, group, options.importance, column);
      else fitGroup(grid, weights, begin, end, group);
      writeGroup(matrix, index, group);
      if (!matrix.multipliers) encodeGroup(matrix, weights, begin, end, group);
    }
  }
  if (matrix.multipliers) shareScales(matrix, weights, options.importance);
  return matrix;
}

/** Makes the scales of each row's groups multiples of one, from the groups' own scales, and encodes the weights. */
function shareScales(matrix: QuantizedMatrix, weights: Float32Array, importance?: Float32Array): void {
  const { rows, columns, grid, scales, rowScales, multipliers } = matrix;
  if (!rowScales || !multipliers) return;
  const length = groupLength(grid, columns);
  const groups = groupCount(grid, columns);
  const group: GroupParameters = { scale: 0, zeroPoint: 0, minimum: 0 };
  for (let row = 0; row < rows; row++) {
    const first = row * groups;
    const largest = scales.subarray(first, first + groups).reduce((top, scale) => Math.max(top, Math.abs(scale)), 0);
    rowScales[row] = largest / 16;
    for (let g = 0; g < groups; g++) {
      const begin = row * columns + g * length;
      const end = row * columns + Math.min((g + 1) * length, columns);
      readGroup(matrix, first + g, group);
      multipliers[first + g] = fitMultiplier(
        grid,
        rowScales[row] as number,
        weights,
        begin,
        end,
        group,
        importance,
        g * length,
      );
      writeGroup(matrix, first + g, group);
      encodeGroup(matrix, weights, begin, end, group);
    }
  }
}

/** The weights [rows][columns] that the codes stand for. */
export function dequantizeMatrix(matrix: QuantizedMatrix): Float32Array {
  const out = new Float32Array(matrix.rows * matrix.columns);
  dequantizeRows(matrix, 0, out);
  return out;
}

/** Fills `out` [.., columns] with the rows from `first` on. */
export function dequantizeRows(matrix: QuantizedMatrix, first: number, out: Float32Array): void {
  const { columns, codes, grid } = matrix;
  const length = groupLength(grid, columns);
  const group: GroupParameters = { scale: 0, zeroPoint: 0, minimum: 0 };
  const offset = first * columns;
  let index = first * groupCount(grid, columns);
  for (let start = 0; start < out.length; start += columns) {
    for (let column = 0; column < columns; column += length, index++) {
      readGroup(matrix, index, group);
      const { scale, zeroPoint, minimum } = group;
      const end = start + Math.min(column + length, columns);
      for (let i = start + column; i < end; i++) out[i] = scale * ((codes[offset + i] ?? 0) - zeroPoint) + minimum;
    }
  }
}

/** Squared errors of a quantized matrix. */
export interface MatrixError {
  /** Sum of (w - w')^2. */
  readonly squaredError: number;
  /** Sum of w^2. */
  readonly squaredNorm: number;
}

/** How far a quantized matrix is from the weights it came from. */
export function matrixError(weights: Float32Array, matrix: QuantizedMatrix): MatrixError {
  const { rows, columns, codes, grid } = matrix;
  const length = groupLength(grid, columns);
  const group: GroupParameters = { scale: 0, zeroPoint: 0, minimum: 0 };
  let squaredError = 0;
  let squaredNorm = 0;
  let index = 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column += length, index++) {
      readGroup(matrix, index, group);
      const { scale, zeroPoint, minimum } = group;
      const end = row * columns + Math.min(column + length, columns);
      for (let i = row * columns + column; i < end; i++) {
        const w = weights[i] ?? 0;
        const d = w - (scale * ((codes[i] ?? 0) - zeroPoint) + minimum);
        squaredError += d * d;
        squaredNorm += w * w;
      }
    }
  }
  return { squaredError, squaredNorm };
}

/**
 * Refuses weights that no half-precision scale can carry.
 * @throws {@link UnquantizableWeightError} naming the first offender
 */
export function checkWeights(weights: Float32Array, columns: number, name: string): void {
  for (let i = 0; i < weights.length; i++) {
    const w = weights[i] ?? 0;
    if (w <= HALF_MAX && w >= -HALF_MAX) continue;
    const place = `row ${Math.floor(i / columns)}, column ${i % columns}`;
    throw new UnquantizableWeightError(
      name,
      Number.isFinite(w)
        ? `the weight ${w} at ${place} is too large for a half-precision scale. Leave this tensor out with \`skip\`.`
        : `the weight at ${place} is ${w}. The checkpoint is damaged, or was trained to overflow; nothing was quantized.`,
    );
  }
}
