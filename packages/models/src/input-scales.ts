/**
 * Vectors that multiply the inputs of linears: AWQ's scales behind activations (Lin et al. 2023, "scaled activations"). A packed folder
 * names such linears in `quantization_config.input_scales` and holds `<linear>.input_scale`; AWQ checkpoints of others hold the divisors
 * as `<module>.act.scales`.
 */
import { InvalidArgumentError, isActivation, isChannelScale, type MatrixDescription } from '@llm/tensor';

import type { Architecture, HfConfig } from './architecture.ts';
import { INPUT_SCALE } from './architectures/builder.ts';
import type { Checkpoint, CheckpointFormat, TensorInfo } from './checkpoint.ts';
import { InvalidWeightError } from './errors.ts';
import { withShape } from './stored-file.ts';
import type { LoadedMatrix, WeightSource } from './weight-source.ts';

const ACT_SCALES = '.act.scales';

/** The name of the linear whose input a tensor scales; undefined for other tensors. */
export function scaledLinear(tensor: string): string | undefined {
  return tensor.endsWith(INPUT_SCALE) ? tensor.slice(0, -INPUT_SCALE.length) : undefined;
}

/** @throws InvalidArgumentError where inputs are scaled: these formats would lose it */
export function refuseInputScales(checkpoint: Checkpoint, target: string): void {
  const scaled = [...checkpoint.tensors.keys()].find((name) => scaledLinear(name) !== undefined);
  if (scaled === undefined) return;
  throw new InvalidArgumentError(
    `${target} has no place for ${scaled} of ${checkpoint.path}. Write awq, packed or safetensors, or quantize without inputScales.`,
  );
}

/** The linears behind an activation, by the name that AWQ checkpoints give the activation's divisors. */
export function linearsByDivisors(architecture: Architecture, config: HfConfig): Map<string, string> {
  const found = new Map<string, string>();
  for (const node of architecture.build(config).graph.nodes) {
    if (node.op !== 'linear') continue;
    const { name } = node.attributes;
    const [input] = node.inputs;
    const before = input && isChannelScale(input) ? input.inputs[0] : input;
    const module = name.slice(0, name.lastIndexOf('.'));
    if (before && isActivation(before)) found.set(`${module}${ACT_SCALES}`, name);
  }
  return found;
}

/** What an AWQ checkpoint divides activations by: the linears behind them, by the names of the tensors. */
export function storedDivisors(
  path: string,
  architecture: Architecture,
  config: HfConfig,
  tensors: readonly TensorInfo[],
): ReadonlyMap<string, string> {
  const names = tensors.map(({ name }) => name).filter((name) => name.endsWith(ACT_SCALES));
  if (names.length === 0) return new Map();
  const linears = linearsByDivisors(architecture, config);
  return new Map(
    names.map((name) => {
      const linear = linears.get(name);
      if (linear === undefined) throw new InvalidWeightError(path, name, 'scales no activation of the model');
      return [name, linear];
    }),
  );
}

/** Weights among which some vectors are divisors of activations, seen as the factors that linears multiply their input by. */
export class DividedActivations implements WeightSource {
  readonly format: CheckpointFormat;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly #source: WeightSource;
  readonly #divisors = new Map<string, TensorInfo>();

  /** `linears`: by the names of the divisors. */
  constructor(source: WeightSource, linears: ReadonlyMap<string, string>) {
    this.#source = source;
    this.format = source.format;
    this.tensors = new Map(
      [...source.tensors.values()].map((tensor) => {
        const linear = linears.get(tensor.name);
        if (linear === undefined) return [tensor.name, tensor];
        const name = `${linear}${INPUT_SCALE}`;
        this.#divisors.set(name, tensor);
        return [name, withShape(tensor, tensor.shape, tensor.dtype, name)];
      }),
    );
  }

  describe(tensor: TensorInfo): MatrixDescription {
    return this.#source.describe(tensor);
  }

  isLaidOutAnew(tensor: TensorInfo): boolean {
    return this.#source.isLaidOutAnew(tensor);
  }

  matrix(tensor: TensorInfo): LoadedMatrix {
    return this.#source.matrix(tensor);
  }

  load(tensor: TensorInfo): Promise<LoadedMatrix> {
    return this.#source.load(tensor);
  }

  *values(tensor: TensorInfo): Iterable<Float32Array> {
    const divisor = this.#divisors.get(tensor.name);
    if (!divisor) yield* this.#source.values(tensor);
    else for (const piece of this.#source.values(divisor)) yield piece.map((value) => 1 / value);
  }

  [Symbol.dispose](): void {
    this.#source[Symbol.dispose]();
  }
}
