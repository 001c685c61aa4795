export function relativeError(found: ArrayLike<number>, expected: ArrayLike<number>): number;
export function likeliest(logits: Float32Array | Float64Array, vocabularySize: number): number[];
