import { packMatrix, type PackedDescription, type PackedFormat } from '@llm/tensor';
import { RecipeError } from './errors.ts';
import { groupLength, type Grid } from './grid.ts';
import type { QuantizedMatrix } from './quantized-matrix.ts';

/**
 * The packed format that holds a grid without loss: 5- to 7-bit codes in 8 bits.
 * @throws RecipeError where there is none
 */
export function storageFormat({ bits, scheme, scales }: Grid): PackedFormat {
  if (bits <= 4 && scales === 'two-level') return scheme === 'sym' ? 'int4-two' : 'int4-two-asym';
  if ((bits === 2 || bits === 3) && scheme !== 'min') return `int${bits}-${scheme}`;
  if (bits <= 4) return scheme === 'sym' ? 'int4-sym' : scheme === 'asym' ? 'int4-asym' : 'int4-min';
  // The codes of an asymmetric grid minus their zero point fit a signed byte up to 7 bits.
  if (scheme === 'sym' || (scheme === 'asym' && bits <= 7)) return 'int8';
  throw new RecipeError(`There is no storage for ${bits} bits of the scheme ${scheme}. Use sym, or at most 4 bits.`);
}

/** How a grid's matrix of a shape is stored. */
export function packedDescription(grid: Grid, rows: number, columns: number): PackedDescription {
  return { format: storageFormat(grid), rows, columns, groupSize: groupLength(grid, columns) };
}

/** The bytes of a quantized matrix in the packed layout. */
export function packedBytes(matrix: QuantizedMatrix): Uint8Array {
  const { rows, columns, grid } = matrix;
  const format = storageFormat(grid);
  using packed = packMatrix(packedDescription(grid, rows, columns), {
    codes: storedCodes(matrix, format),
    scales: matrix.rowScales ?? matrix.scales,
    ...(matrix.multipliers && { multipliers: matrix.multipliers }),
    ...(format !== 'int8' && matrix.zeroPoints && { zeroPoints: matrix.zeroPoints }),
    ...(matrix.minima && { minima: matrix.minima }),
  });
  return packed.bytes();
}

/** Codes with the zero point that the format has: half its range in symmetric ones, 128 in `int8`, their own elsewhere. */
function storedCodes(matrix: QuantizedMatrix, format: PackedFormat): Uint8Array {
  const { codes, zeroPoints, columns, grid } = matrix;
  if (zeroPoints && format === 'int8') {
    const length = groupLength(grid, columns);
    const groups = Math.ceil(columns / length);
    return codes.map(
      (code, i) =>
        code - (zeroPoints[Math.floor(i / columns) * groups + Math.floor((i % columns) / length)] ?? 0) + 128,
    );
  }
  const zero = grid.scheme === 'sym' ? 2 ** (Number(format.charAt(3)) - 1) : undefined;
  const shift = zero === undefined ? 0 : zero - 2 ** (grid.bits - 1);
  return shift === 0 ? codes : codes.map((code) => code + shift);
}
