import { sgemm, type Tensor } from '@llm/tensor';

/** Adds up (X̂ - X)ᵀX / tokens, what GPTAQ corrects, for inputs that come in parts. */
export class InputErrorCollector {
  readonly #columns: number;
  readonly #sum: Float32Array;
  #tokens = 0;

  constructor(columns: number) {
    this.#columns = columns;
    this.#sum = new Float32Array(columns * columns);
  }

  /** @param exact - rows of X̂, what the original model's linear reads @param now - the same rows of X, as it is now */
  async add(exact: Tensor, now: Tensor): Promise<void> {
    const [x, y] = [now.data as Float32Array, exact.data];
    const difference = new Float32Array(x.length);
    for (let i = 0; i < x.length; i++) difference[i] = (y[i] as number) - (x[i] as number);
    const [n, k] = [this.#columns, x.length / this.#columns];
    await sgemm({ m: n, n, k, a: difference, transposeA: true, b: x, beta: 1, c: this.#sum });
    this.#tokens += k;
  }

  /** The mean, in the collector's own memory: its last call. */
  finish(): Float32Array {
    const sum = this.#sum;
    for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) / Math.max(1, this.#tokens);
    return sum;
  }
}
