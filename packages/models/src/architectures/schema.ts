/** Pieces of config schemas. Files write null for "not set", so every optional key takes it. */
import type { Activation } from '@llm/tensor';
import { z } from 'zod';

import { InvalidConfigError } from '../errors.ts';

/** A size: a whole number from 1 to 2^31 - 1, so that products of two fit a double exactly. */
export const size: z.ZodType<number> = z
  .number({ error: 'must be a whole number above 0' })
  .int('must be a whole number above 0')
  .positive('must be a whole number above 0')
  .max(2 ** 31 - 1, 'is too large');

/** More layers or channels than any model has: beyond them a config is damaged, and its graph would not fit in memory. */
const mostLayers = 4096;
const mostChannels = 2 ** 20;

function sizeUpTo(most: number): z.ZodType<number> {
  return size.refine((value) => value <= most, `is more than the ${most} that any model has`);
}

/** A number of layers. */
export const layers: z.ZodType<number> = sizeUpTo(mostLayers);

/** A number of channels, or of heads. */
export const channels: z.ZodType<number> = sizeUpTo(mostChannels);

/** A finite number above 0. */
export const positive: z.ZodType<number> = z.number({ error: 'must be a number above 0' }).positive('must be above 0');

/** `schema`, or the default where the key is missing or null. */
export function optional<Output>(schema: z.ZodType<Output>, fallback: Output): z.ZodType<Output> {
  return schema.nullish().transform((value) => value ?? fallback);
}

/** `schema`, or undefined where the key is missing or null. */
export function maybe<Output>(schema: z.ZodType<Output>): z.ZodType<Output | undefined> {
  return schema.nullish().transform((value) => value ?? undefined);
}

export const flag = (fallback: boolean): z.ZodType<boolean> => optional(z.boolean(), fallback);

const activations: Readonly<Record<string, Activation>> = {
  silu: 'silu',
  swish: 'silu',
  relu: 'relu',
  gelu: 'gelu',
  gelu_new: 'geluTanh',
  gelu_fast: 'geluTanh',
  gelu_accurate: 'geluTanh',
  gelu_pytorch_tanh: 'geluTanh',
  // Our own name, so that a config which has been checked can be checked again.
  geluTanh: 'geluTanh',
};

/** An activation by Hugging Face's name. */
export function activation(fallback: string): z.ZodType<Activation> {
  return z
    .string()
    .nullish()
    .transform((name, context) => {
      const found = activations[name ?? fallback];
      if (found) return found;
      context.addIssue(
        `'${String(name)}' is not an activation known here; use one of: ${Object.keys(activations).join(', ')}`,
      );
      return z.NEVER;
    });
}

/** The keys that say how many heads there are, and how large. */
export interface HeadKeys {
  readonly hidden_size: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads?: number | undefined;
  readonly head_dim?: number | undefined;
}

export interface Heads {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** The heads of a config. @throws {@link InvalidConfigError} if the numbers do not divide */
export function headsOf(c: HeadKeys): Heads {
  const heads = c.num_attention_heads;
  const kvHeads = c.num_key_value_heads ?? heads;
  const headDim = c.head_dim ?? c.hidden_size / heads;
  if (!Number.isInteger(headDim)) {
    throw new InvalidConfigError(
      'config.json',
      'num_attention_heads',
      `${heads} does not divide the hidden size of ${c.hidden_size}`,
    );
  }
  if (heads * headDim > mostChannels) {
    throw new InvalidConfigError(
      'config.json',
      'head_dim',
      `${heads} heads of ${headDim} channels are more than any model has`,
    );
  }
  if (heads % kvHeads !== 0) {
    throw new InvalidConfigError('config.json', 'num_key_value_heads', `${kvHeads} does not divide the ${heads} heads`);
  }
  return { heads, kvHeads, headDim };
}
