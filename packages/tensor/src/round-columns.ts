import { backend } from './backend/load.ts';
import { rethrowTranslated } from './backend/translate-errors.ts';

/** Arguments of {@link roundColumns}. Arrays are row-major. */
export interface RoundColumnsArguments {
  readonly rows: number;
  readonly columns: number;
  /** The columns from `begin` to `end` are rounded, and those up to `stop` kept up to date. */
  readonly begin: number;
  readonly end: number;
  readonly stop: number;
  /** Where the block that `errors` and `values` hold begins; it ends at `stop`. */
  readonly block: number;
  /** The weights as they are, columns in the order of the permutation: [rows, columns]. Changed. */
  readonly live: Float32Array;
  /** U with UᵀU = H⁻¹, in that order: [columns, columns]. */
  readonly inverse: Float32Array;
  /** What of a rounded column's value is added to each later column (GPTAQ): [columns, columns]. Default none. */
  readonly correction?: Float32Array | undefined;
  /** Where each column belongs in `codes`, and in its row's groups: [columns]. */
  readonly permutation: Int32Array;
  /** Columns of a group. */
  readonly groupLength: number;
  readonly bits: number;
  /** Of each row's groups: w = scale (code - zeroPoint) + minimum. Default minima 0, zero points 2^(bits - 1) or, with minima, 0. */
  readonly scales: Float32Array;
  readonly zeroPoints?: Uint8Array | undefined;
  readonly minima?: Float32Array | undefined;
  /** [rows, columns]. Written. */
  readonly codes: Uint8Array;
  /** Errors in units of U's diagonal, [rows, stop - block]. Written. */
  readonly errors: Float32Array;
  /** The values that were rounded, likewise; with a correction. */
  readonly values?: Float32Array | undefined;
  /** To which the squares of the errors are added, [rows]. */
  readonly squares: Float64Array;
}

/**
 * The inner loop of GPTQ (Frantar et al. 2022): rounds columns of a matrix one after another, and takes each column's error out of
 * the columns after it, up to the end of its block. Runs on the pool, off the event loop.
 * @throws {@link ShapeMismatchError} if the arrays and the columns do not fit together
 */
export async function roundColumns(task: RoundColumnsArguments): Promise<void> {
  await backend()
    .addon.roundColumns(
      task.rows,
      task.columns,
      task.begin,
      task.end,
      task.stop,
      task.block,
      task.groupLength,
      2 ** task.bits - 1,
      task.live,
      task.inverse,
      task.correction,
      task.permutation,
      task.scales,
      task.zeroPoints,
      task.minima,
      task.codes,
      task.errors,
      task.values,
      task.squares,
    )
    .catch(rethrowTranslated);
}
