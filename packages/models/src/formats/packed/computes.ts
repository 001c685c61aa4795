import { linearComputes, type LinearCompute } from '@llm/tensor';

import type { TensorInfo } from '../../checkpoint.ts';
import { InvalidConfigError } from '../../errors.ts';

/**
 * The arithmetic that a packed folder asks for, by weight: `compute` of its `quantization_config`, a map from names of weights. Names
 * that are not in it have the runtime's default. Other ways of quantizing have nothing of the kind.
 * @throws {@link InvalidConfigError} for a weight that is not there, or arithmetic that is unknown
 */
export function computesOf(
  configPath: string,
  quantization: unknown,
  tensors: readonly TensorInfo[],
): Map<string, LinearCompute> {
  const { quant_method: method, compute } = (quantization ?? {}) as Readonly<Record<string, unknown>>;
  const computes = new Map<string, LinearCompute>();
  if (method !== 'llm-packed' || compute === undefined) return computes;
  const key = 'quantization_config.compute';
  if (typeof compute !== 'object' || compute === null || Array.isArray(compute))
    throw new InvalidConfigError(configPath, key, 'it must be an object from names of weights');
  const names = new Set(tensors.map(({ name }) => name));
  for (const [name, value] of Object.entries(compute)) {
    const known = linearComputes.find((one) => one === value);
    if (!known)
      throw new InvalidConfigError(
        configPath,
        `${key}.${name}`,
        `${JSON.stringify(value)} is not one of ${linearComputes.join(', ')}`,
      );
    if (!names.has(name)) throw new InvalidConfigError(configPath, `${key}.${name}`, 'the folder has no such weight');
    computes.set(name, known);
  }
  return computes;
}
