export interface PlainTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export function readConfig(folder: string): Readonly<Record<string, unknown>>;
export function readTensors(folder: string): ReadonlyMap<string, PlainTensor>;
export function readWeights(
  folder: string,
  architecture: {
    readonly aliases: (name: string) => readonly string[];
    readonly isTransposed: (name: string) => boolean;
  },
): (name: string) => PlainTensor;
