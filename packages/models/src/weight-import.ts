import type { ImportedMatrix, MatrixDescription } from '@llm/tensor';

import { largestDifference } from './compare-matrix.ts';
import { halfMatrix } from './dense-matrix.ts';
import type { LoadedMatrix } from './weight-source.ts';

/** A matrix that native code lays out anew. */
export interface WeightImport {
  /** The stored format. */
  readonly from: string;
  readonly description: MatrixDescription;
  now(): ImportedMatrix;
  later(): Promise<ImportedMatrix>;
  /** What is stored, row by row, for what float16 cannot hold. */
  values(): Iterable<Float32Array>;
}

/** Imports while the caller waits. */
export function importNow(weight: WeightImport): LoadedMatrix {
  return imported(weight, weight.now());
}

/** Imports off the event loop. */
export async function importLater(weight: WeightImport): Promise<LoadedMatrix> {
  return imported(weight, await weight.later());
}

function imported(weight: WeightImport, { matrix, largestError }: ImportedMatrix): LoadedMatrix {
  if (Number.isFinite(largestError)) return converted(weight.from, matrix, largestError);
  // A scale or a weight is beyond float16, which bfloat16 is not.
  matrix[Symbol.dispose]();
  const { rows, columns } = weight.description;
  const wide = halfMatrix(rows, columns, () => weight.values());
  return converted(weight.from, wide, largestDifference(wide, weight.values()));
}

/** A matrix with what became of the stored one. */
export function converted(from: string, matrix: LoadedMatrix['matrix'], largestError: number): LoadedMatrix {
  return { matrix, conversion: { from, to: matrix.format, lossless: largestError === 0, largestError } };
}
