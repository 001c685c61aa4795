/** Pieces of config schemas. Files write null for "not set", so every optional key takes it. */
import { z } from 'zod';

import type { Activation } from './builder.ts';

/** A size: a whole number from 1 to 2^31 - 1, so that products of two fit a double exactly. */
export const size: z.ZodType<number> = z
  .number({ error: 'must be a whole number above 0' })
  .int('must be a whole number above 0')
  .positive('must be a whole number above 0')
  .max(2 ** 31 - 1, 'is too large');

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

/** Fails with a message about one key where a combination makes no sense. */
export function divides(part: number, whole: number): boolean {
  return part > 0 && whole % part === 0;
}
