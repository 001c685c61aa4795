import { addMoments, columnCount, rowCount, ShapeMismatchError, type Tensor } from '@llm/tensor';
import { CalibrationError } from '../errors.ts';
import { addGram } from '../linear-algebra.ts';

/** What calibration knows of one input of linears: X [tokens, columns]. */
export interface InputStatistics {
  readonly columns: number;
  /** Rows of X. */
  readonly tokens: number;
  /** XᵀX / tokens, [columns, columns]: float32, its diagonal summed in double precision. */
  readonly gram: Float32Array;
  /** Mean of |x| of each column. */
  readonly meanAbsolute: Float32Array;
  /** Mean of x² of each column: the diagonal of `gram`. */
  readonly meanSquare: Float32Array;
}

/** Adds up the statistics of an input that comes in parts. */
export class StatisticsCollector {
  readonly columns: number;
  readonly #name: string;
  readonly #gram: Float32Array;
  readonly #absolute: Float64Array;
  readonly #squares: Float64Array;
  #tokens = 0;

  /** @param name - of the layer, for errors */
  constructor(columns: number, name: string) {
    this.columns = columns;
    this.#name = name;
    this.#gram = new Float32Array(columns * columns);
    this.#absolute = new Float64Array(columns);
    this.#squares = new Float64Array(columns);
  }

  /**
   * Adds rows of X.
   * @throws CalibrationError if one of them is not finite
   */
  async add(x: Tensor): Promise<void> {
    if (columnCount(x) !== this.columns)
      throw new ShapeMismatchError(`${this.#name} has ${this.columns} inputs, and rows of ${columnCount(x)} came.`);
    const data = x.data instanceof Float32Array ? x.data : Float32Array.from(x.data);
    await addMoments(data, this.#absolute, this.#squares);
    const odd = this.#squares.findIndex((sum) => !Number.isFinite(sum));
    if (odd >= 0)
      throw new CalibrationError(
        `${this.#name}: input ${odd} became infinite or NaN on the calibration text. ` +
          'Check the checkpoint, or leave this layer out with `skip`.',
      );
    this.#tokens += rowCount(x);
    await addGram(this.#gram, data, this.columns);
  }

  /**
   * The statistics of what was added, in the collector's own memory: its last call.
   * @throws CalibrationError if nothing was added
   */
  finish(): InputStatistics {
    const { columns } = this;
    const tokens = this.#tokens;
    if (tokens === 0) throw new CalibrationError(`${this.#name}: no token reached this layer.`);
    const gram = this.#gram;
    for (let i = 0; i < gram.length; i++) gram[i] = (gram[i] as number) / tokens;
    const meanSquare = Float32Array.from(this.#squares, (sum) => sum / tokens);
    for (let c = 0; c < columns; c++) gram[c * columns + c] = meanSquare[c] as number;
    return {
      columns,
      tokens,
      gram,
      meanAbsolute: Float32Array.from(this.#absolute, (sum) => sum / tokens),
      meanSquare,
    };
  }
}

/** The statistics of an input given as plain arrays: X [tokens, columns]. */
export async function collectStatistics(x: Float32Array, columns: number, name = 'input'): Promise<InputStatistics> {
  const collector = new StatisticsCollector(columns, name);
  await collector.add({ shape: [x.length / columns, columns], data: x });
  return collector.finish();
}
