import { packedByteLength, type MatrixDescription } from '@llm/tensor';

import type { WeightConversion } from '../../checkpoint.ts';
import type { ElementType } from '../../number-formats.ts';
import { bytesOfMatrix } from '../../row-pieces.ts';
import type { LoadedMatrix } from '../../weight-source.ts';
import type { SafetensorsEntry } from '../safetensors/write.ts';

/** A weight has another format than was announced: it has scales beyond float16, and became bfloat16. */
export class UnannouncedFormat extends Error {
  readonly tensor: string;

  constructor(tensor: string) {
    super(`${tensor} has scales beyond float16`);
    this.name = 'UnannouncedFormat';
    this.tensor = tensor;
  }
}

/**
 * A matrix in the layout that it is used in, made while the entry before it is written.
 * @param load - gives a matrix that is disposed of when it is written
 * @param written - told what became of the weight
 */
export function matrixEntry(
  name: string,
  description: MatrixDescription,
  load: () => Promise<LoadedMatrix>,
  written: (conversion: WeightConversion | undefined) => void,
): SafetensorsEntry {
  const { format, rows, columns, groupSize } = description;
  let loading: Promise<LoadedMatrix> | undefined;
  return {
    name,
    ...(groupSize === undefined
      ? { dtype: format.toUpperCase() as ElementType, shape: [rows, columns] }
      : { dtype: 'U8', shape: [packedByteLength(description)] }),
    prepare() {
      loading = load();
      // Who waits for it is told of a failure.
      loading.catch(() => undefined);
    },
    async *data() {
      const { matrix, conversion } = await (loading ?? load());
      using made = matrix;
      if (made.format !== format) throw new UnannouncedFormat(name);
      written(conversion);
      yield* bytesOfMatrix(made);
    },
  };
}
