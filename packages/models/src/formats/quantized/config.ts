import type { HfConfig } from '../../architecture.ts';
import type { CheckpointFormat } from '../../checkpoint.ts';
import { InvalidConfigError, UnsupportedFormatError } from '../../errors.ts';
import type { DenseWeights } from '../safetensors/weights.ts';
import { awqLinears } from './awq.ts';
import { compressedLinears } from './compressed-tensors.ts';
import { gptqLinears, type ZeroPointStorage } from './gptq.ts';
import type { QuantizedLinear } from './linear.ts';
import { TensorParts } from './tensor-parts.ts';
import { QuantizedWeights } from './weights.ts';

/** Methods whose checkpoints are read here, as `quant_method` names them. */
export const quantizationMethods = ['gptq', 'awq', 'auto-round', 'compressed-tensors'] as const;

/**
 * The weights of a checkpoint that another quantizer made; undefined for methods that are not known.
 * `path` is the folder, `config` its `quantization_config`.
 */
export function quantizedWeights(path: string, config: HfConfig, dense: DenseWeights): QuantizedWeights | undefined {
  const parts = new TensorParts(path, dense.tensors);
  const made = (format: CheckpointFormat, linears: QuantizedLinear[]): QuantizedWeights =>
    new QuantizedWeights(format, dense, linears, parts.used);
  switch (config['quant_method']) {
    case 'gptq':
      return made('gptq', gptqOf(path, parts, config));
    case 'awq':
      return made('awq', awqOf(path, parts, config));
    case 'auto-round':
    case 'intel/auto-round':
      return autoRound(path, parts, config, made);
    case 'compressed-tensors':
      return made('compressed-tensors', compressedOf(path, parts, config));
    default:
      return undefined;
  }
}

function gptqOf(path: string, parts: TensorParts, config: HfConfig): QuantizedLinear[] {
  const format = config['checkpoint_format'] ?? config['format'] ?? 'gptq';
  if (format !== 'gptq' && format !== 'gptq_v2') {
    throw new UnsupportedFormatError(path, `its GPTQ layout is ${JSON.stringify(format)}; known are gptq and gptq_v2`);
  }
  return gptqLinears(parts, {
    groupSize: integer(path, config, 'group_size', -1),
    zeroPoints: format === 'gptq_v2' ? 'plain' : lessOne(config),
    symmetric: config['sym'] !== false,
  });
}

/** Who wrote version 1 with a borrow between fields: GPTQModel and AutoRound. AutoGPTQ and the others mask every field. */
function lessOne(config: HfConfig): ZeroPointStorage {
  const meta = config['meta'];
  const quantizer = typeof meta === 'object' && meta !== null ? (meta as HfConfig)['quantizer'] : undefined;
  const borrows =
    /gptqmodel|auto.?round/iu.test(JSON.stringify(quantizer ?? '')) || config['autoround_version'] !== undefined;
  return borrows ? 'less-one-per-word' : 'less-one-per-field';
}

function awqOf(path: string, parts: TensorParts, config: HfConfig): QuantizedLinear[] {
  const version = config['version'] ?? 'gemm';
  if (typeof version !== 'string' || version.toLowerCase() !== 'gemm') {
    throw new UnsupportedFormatError(path, `its AWQ layout is ${JSON.stringify(version)}; known is gemm`);
  }
  return awqLinears(
    parts,
    integer(path, config, config['group_size'] === undefined ? 'q_group_size' : 'group_size', 128),
  );
}

function autoRound(
  path: string,
  parts: TensorParts,
  config: HfConfig,
  made: (format: CheckpointFormat, linears: QuantizedLinear[]) => QuantizedWeights,
): QuantizedWeights {
  const packing = config['packing_format'] ?? 'auto_round:auto_gptq';
  const groupSize = integer(path, config, 'group_size', 128);
  const gptq = (zeroPoints: ZeroPointStorage): QuantizedWeights =>
    made('gptq', gptqLinears(parts, { groupSize, zeroPoints, symmetric: config['sym'] !== false }));
  switch (packing) {
    case 'auto_round:auto_gptq':
    case 'auto_round:gptq':
      return gptq('less-one-per-word');
    case 'auto_round':
    case 'auto_round:exllamav2':
    case 'auto_round:gptqmodel':
      return gptq('plain');
    case 'auto_round:auto_awq':
    case 'auto_round:awq':
      return made('awq', awqLinears(parts, groupSize));
    default:
      throw new UnsupportedFormatError(path, `its AutoRound packing is ${JSON.stringify(packing)}`);
  }
}

function compressedOf(path: string, parts: TensorParts, config: HfConfig): QuantizedLinear[] {
  const format = config['format'] ?? 'pack-quantized';
  if (format !== 'pack-quantized') {
    throw new UnsupportedFormatError(
      path,
      `its compressed-tensors format is ${JSON.stringify(format)}; known is pack-quantized`,
    );
  }
  const groups = config['config_groups'];
  if (typeof groups !== 'object' || groups === null) {
    throw new InvalidConfigError(path, 'quantization_config.config_groups', 'it must be an object');
  }
  const schemes = Object.entries(groups as HfConfig).map(([key, group]) => {
    const { weights, targets } = (group ?? {}) as HfConfig;
    const at = `config_groups.${key}.weights`;
    if (typeof weights !== 'object' || weights === null) {
      throw new InvalidConfigError(path, `quantization_config.${at}`, 'it must be an object');
    }
    const bits = integer(path, weights as HfConfig, 'num_bits', 4);
    if (bits < 2 || bits > 8)
      throw new InvalidConfigError(path, `quantization_config.${at}.num_bits`, `${bits} is not 2 to 8`);
    const names = Array.isArray(targets) ? targets.filter((target) => typeof target === 'string') : [];
    return { bits, groupSize: integer(path, weights as HfConfig, 'group_size', -1), names };
  });
  const [first] = schemes;
  if (!first) throw new InvalidConfigError(path, 'quantization_config.config_groups', 'it is empty');
  return compressedLinears(
    parts,
    (stem) => schemes.find(({ names }) => names.some((name) => targets(name, stem))) ?? first,
  );
}

/** Whether a target names this linear itself: by its name or by `re:` and an expression; classes name all. */
function targets(target: string, stem: string): boolean {
  if (!target.startsWith('re:')) return target === stem;
  try {
    return new RegExp(`^(?:${target.slice(3)})`, 'u').test(stem);
  } catch {
    return false;
  }
}

function integer(path: string, config: HfConfig, key: string, missing: number): number {
  const value = config[key] ?? missing;
  if (Number.isSafeInteger(value)) return value as number;
  throw new InvalidConfigError(path, `quantization_config.${key}`, `${JSON.stringify(value)} is not a whole number`);
}
