import { rowCount, row, zeros, type Tensor } from '../tensor.ts';
import { input } from './inputs.ts';
import type { Operator, Step } from './operator.ts';
import { matrixOf } from './shapes.ts';

function checked(index: number, table: Tensor, what: string): number {
  const rows = rowCount(table);
  if (!Number.isInteger(index) || index < 0 || index >= rows)
    throw new RangeError(`${what} ${index} is outside the table of ${rows}.`);
  return index;
}

/** Row numbers of `positions` tokens, counted from the start of each sequence. */
export function positionsOf(step: Step): number[] {
  return step.sequences.flatMap((length) => Array.from({ length }, (_, position) => position));
}

function gather(indices: readonly number[], table: Tensor, what: string, factor = 1): Tensor {
  const columns = table.shape[1] ?? 1;
  const out = zeros([indices.length, columns], table);
  indices.forEach((index, t) => {
    const from = row(table, checked(index, table, what));
    for (let c = 0; c < columns; c++) out.data[t * columns + c] = (from[c] as number) * factor;
  });
  return out;
}

function scatter(indices: readonly number[], table: Tensor, dy: Tensor, factor = 1): Tensor {
  const columns = table.shape[1] ?? 1;
  const out = zeros(table.shape, table);
  indices.forEach((index, t) => {
    const from = row(dy, t);
    const to = row(out, index);
    for (let c = 0; c < columns; c++) to[c] = (to[c] as number) + (from[c] as number) * factor;
  });
  return out;
}

const tokensOf = (tokens: Tensor): number[] => Array.from(tokens.data);

/** Rows of a table, one per token. Inputs: tokens, table [vocabulary, columns]. */
export const embed: Operator<'embed'> = {
  arity: [2, 2],
  shape: ([, table]) => ['T', matrixOf('embed', table)[1]],
  evaluate: (inputs, { scale }) => gather(tokensOf(input(inputs, 0)), input(inputs, 1), 'Token', scale),
  gradient: ({ dy, inputs, attributes: { scale } }) => [
    undefined,
    scatter(tokensOf(input(inputs, 0)), input(inputs, 1), dy, scale),
  ],
};

/** Learned absolute positions. Inputs: tokens (for their number), table [positions, columns]. */
export const positionEmbed: Operator<'positionEmbed'> = {
  arity: [2, 2],
  shape: ([, table]) => ['T', matrixOf('positionEmbed', table)[1]],
  evaluate: (inputs, { offset }, step) =>
    gather(
      positionsOf(step).map((position) => position + offset),
      input(inputs, 1),
      'Position',
    ),
  gradient: ({ dy, inputs, attributes: { offset }, step }) => [
    undefined,
    scatter(
      positionsOf(step).map((position) => position + offset),
      input(inputs, 1),
      dy,
    ),
  ],
};
