/** What became of one weight. */
export interface ConvertedWeight {
  readonly name: string;
  /** How it was stored: `BF16`, `Q4_1`, `GPTQ 4 bit`, `int4-sym`, ... */
  readonly from: string;
  readonly to: string;
  /** The largest difference between the values before and after; 0 if the conversion is lossless. */
  readonly largestError: number;
}

export interface ConversionReport {
  readonly output: string;
  readonly lossless: boolean;
  /** Over all weights. */
  readonly largestError: number;
  readonly weights: readonly ConvertedWeight[];
}

export function report(output: string, weights: readonly ConvertedWeight[]): ConversionReport {
  const largestError = weights.reduce((largest, weight) => Math.max(largest, weight.largestError), 0);
  return { output, lossless: largestError === 0, largestError, weights };
}

/** The largest difference of values in the same places. */
export function largestError(before: Float32Array, after: Float32Array): number {
  let largest = 0;
  for (let i = 0; i < before.length; i++) {
    const difference = Math.abs((before[i] as number) - (after[i] as number));
    if (difference > largest) largest = difference;
  }
  return largest;
}
