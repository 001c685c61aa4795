import { ShapeMismatchError } from '../errors.ts';
import type { OperatorName } from '../graph/attributes.ts';
import { attention } from './attention.ts';
import { add, clamp, gelu, geluTanh, mul, relu, scale, silu, softcap } from './elementwise.ts';
import { embed, positionEmbed } from './embed.ts';
import { linear } from './linear.ts';
import { layerNorm, rmsNorm } from './norm.ts';
import type { Operator } from './operator.ts';
import { rope } from './rope.ts';
import { lastTokens, take } from './select.ts';

/** Every operator that a graph may use. A new one is a file beside this and a line here. */
export const operators: { readonly [Op in OperatorName]: Operator<Op> } = {
  tokens: { arity: [0, 0], shape: () => ['T'] },
  weight: { arity: [0, 0], shape: (_, { shape }) => shape },
  embed,
  positionEmbed,
  linear,
  rmsNorm,
  layerNorm,
  take,
  rope,
  attention,
  add,
  mul,
  silu,
  gelu,
  geluTanh,
  relu,
  scale,
  softcap,
  clamp,
  lastTokens,
};

/** @throws {@link ShapeMismatchError} if the operator does not take so many inputs */
export function checkArity(op: OperatorName, inputs: number): void {
  const [fewest, most] = operators[op].arity;
  if (inputs < fewest || inputs > most) {
    const range = fewest === most ? `${fewest}` : `${fewest} to ${most}`;
    throw new ShapeMismatchError(`${op} takes ${range} inputs, not ${inputs}.`);
  }
}
