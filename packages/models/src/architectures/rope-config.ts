import type { RopeAttributes, RopeScaling } from '@llm/tensor';
import { z } from 'zod';

import { InvalidConfigError } from '../errors.ts';
import { maybe, optional, positive, size } from './schema.ts';

/** One set of rotary parameters, in any of the layouts that Hugging Face has used. */
export interface RopeParameters {
  readonly rope_type: string | undefined;
  readonly type: string | undefined;
  readonly rope_theta: number | undefined;
  readonly partial_rotary_factor: number | undefined;
  readonly factor: number | undefined;
  readonly low_freq_factor: number;
  readonly high_freq_factor: number;
  readonly original_max_position_embeddings: number | undefined;
  readonly attention_factor: number | undefined;
  readonly beta_fast: number;
  readonly beta_slow: number;
  readonly truncate: boolean;
  readonly mscale: number | undefined;
  readonly mscale_all_dim: number | undefined;
  readonly short_factor: readonly number[] | undefined;
  readonly long_factor: readonly number[] | undefined;
  /** Not Hugging Face's: divisors of the frequencies, as GGUF files store them. */
  readonly factors: readonly number[] | undefined;
}

const factors = z.array(positive, { error: 'must be a list of numbers' });

const parameters = z.object({
  rope_type: maybe(z.string()),
  type: maybe(z.string()),
  rope_theta: maybe(positive),
  partial_rotary_factor: maybe(positive),
  factor: maybe(positive),
  low_freq_factor: optional(positive, 1),
  high_freq_factor: optional(positive, 4),
  original_max_position_embeddings: maybe(size),
  attention_factor: maybe(positive),
  beta_fast: optional(positive, 32),
  beta_slow: optional(positive, 1),
  truncate: optional(z.boolean(), true),
  mscale: maybe(positive),
  mscale_all_dim: maybe(positive),
  short_factor: maybe(factors),
  long_factor: maybe(factors),
  factors: maybe(factors),
});

export type LayerType = 'full_attention' | 'sliding_attention';

/** The keys of a config that speak of rotary positions. */
export interface RopeKeys {
  readonly rope_theta: number | undefined;
  readonly partial_rotary_factor: number | undefined;
  readonly rope_scaling: RopeParameters | undefined;
  /** Since transformers 5; for models with several kinds of layers one set per kind. */
  readonly rope_parameters:
    (RopeParameters & Partial<Readonly<Record<LayerType, RopeParameters | undefined>>>) | undefined;
  readonly original_max_position_embeddings: number | undefined;
  readonly max_position_embeddings: number | undefined;
}

/** Their schemas, to spread into an architecture's. */
export const ropeKeys: { readonly [Key in keyof RopeKeys]: z.ZodType<RopeKeys[Key]> } = {
  rope_theta: maybe(positive),
  partial_rotary_factor: maybe(positive),
  rope_scaling: maybe(parameters),
  rope_parameters: maybe(
    parameters.extend({ full_attention: maybe(parameters), sliding_attention: maybe(parameters) }),
  ),
  original_max_position_embeddings: maybe(size),
  max_position_embeddings: maybe(size),
};

export interface RopeOptions {
  readonly headDim: number;
  /** Where the config does not say. */
  readonly theta?: number;
  readonly partialRotaryFactor?: number;
  readonly style?: RopeAttributes['style'];
  /** Where the config has a set per kind of layer, which one. */
  readonly layerType?: LayerType;
}

/** How q and k are rotated. @throws {@link InvalidConfigError} naming the key */
export function ropeOf(config: RopeKeys, options: RopeOptions): RopeAttributes {
  const { headDim, layerType, style = 'half' } = options;
  const set = parameterSet(config, layerType);
  const theta = set?.rope_theta ?? config.rope_theta ?? options.theta ?? 10_000;
  const part = set?.partial_rotary_factor ?? config.partial_rotary_factor ?? options.partialRotaryFactor ?? 1;
  const rotaryDim = Math.floor(headDim * part);
  if (rotaryDim % 2 !== 0 || rotaryDim > headDim) {
    const key = part === 1 ? 'head_dim' : 'partial_rotary_factor';
    throw new InvalidConfigError(
      'config.json',
      key,
      `${rotaryDim} of ${headDim} channels of a head cannot be rotated in pairs`,
    );
  }
  const scaling = set && ropeScaling(set, config);
  return { headDim, rotaryDim, theta, style, ...(scaling && { scaling }) };
}

function parameterSet(config: RopeKeys, layerType: LayerType | undefined): RopeParameters | undefined {
  const given = config.rope_parameters;
  if (!given) return config.rope_scaling;
  return given[layerType ?? 'full_attention'] ?? given;
}

function ropeScaling(set: RopeParameters, config: RopeKeys): RopeScaling | undefined {
  const type = set.rope_type ?? set.type ?? 'default';
  if (type === 'default') return undefined;
  const context = config.max_position_embeddings;
  // Phi-3 keeps the original context outside.
  const originalContext =
    config.original_max_position_embeddings ??
    set.original_max_position_embeddings ??
    context ??
    need('original_max_position_embeddings');
  switch (type) {
    case 'linear':
      return { type: 'linear', factor: set.factor ?? need('factor') };
    case 'llama3':
      return {
        type: 'llama3',
        factor: set.factor ?? need('factor'),
        lowFrequencyFactor: set.low_freq_factor,
        highFrequencyFactor: set.high_freq_factor,
        originalContext,
      };
    case 'yarn': {
      const factor = set.factor ?? need('factor');
      return {
        type: 'yarn',
        factor,
        betaFast: set.beta_fast,
        betaSlow: set.beta_slow,
        originalContext,
        truncate: set.truncate,
        attentionFactor: set.attention_factor ?? yarnMagnitude(factor, set),
      };
    }
    case 'su':
    case 'longrope': {
      const factor = set.factor ?? (context ?? originalContext) / originalContext;
      return {
        type: 'longrope',
        shortFactors: set.short_factor ?? need('short_factor'),
        longFactors: set.long_factor ?? need('long_factor'),
        originalContext,
        // Ding et al. 2024: attention is sharpened as the context grows.
        attentionFactor:
          set.attention_factor ?? (factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalContext))),
      };
    }
    case 'factors':
      return { type: 'factors', factors: set.factors ?? need('factors') };
    default:
      throw new InvalidConfigError(
        'config.json',
        'rope_scaling.rope_type',
        `'${type}' is not known here; use one of: default, linear, llama3, yarn, longrope`,
      );
  }
}

/** Peng et al. 2023, 0.1 ln(factor) + 1; DeepSeek's two exponents divide one such number by another. */
function yarnMagnitude(factor: number, { mscale, mscale_all_dim: all }: RopeParameters): number {
  const magnitude = (exponent: number): number => (factor <= 1 ? 1 : 0.1 * exponent * Math.log(factor) + 1);
  return mscale !== undefined && all !== undefined ? magnitude(mscale) / magnitude(all) : magnitude(1);
}

function need(key: string): never {
  throw new InvalidConfigError('config.json', `rope_scaling.${key}`, 'is missing');
}
