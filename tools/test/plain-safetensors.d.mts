export function readConfig(folder: string): Readonly<Record<string, unknown>>;
export function readTensors(
  folder: string,
): ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
