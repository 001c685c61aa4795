import { ShapeMismatchError } from '../errors.ts';
import { width } from '../graph/node.ts';
import { row, rowCount, zeros } from '../tensor.ts';
import { input } from './inputs.ts';
import type { Operator, Step } from './operator.ts';
import { rowsOf } from './shapes.ts';

/** Channels picked out of x: how a fused query_key_value is split, whatever its layout. */
export const take: Operator<'take'> = {
  arity: [1, 1],
  shape: ([x], { channels }) => {
    const [tokens = 'T', columns = 0] = rowsOf('take', x);
    const outside = channels.find((channel) => channel < 0 || channel >= Number(columns));
    if (outside !== undefined)
      throw new ShapeMismatchError(`take: channel ${outside} is outside the ${columns} there are.`);
    return [tokens, channels.length];
  },
  evaluate: (inputs, { channels }) => {
    const x = input(inputs, 0);
    const out = zeros([rowCount(x), channels.length], x);
    for (let t = 0; t < rowCount(x); t++) {
      const from = row(x, t);
      const to = row(out, t);
      for (let i = 0; i < channels.length; i++) to[i] = from[channels[i] as number] as number;
    }
    return out;
  },
  gradient: ({ dy, inputs, attributes: { channels } }) => {
    const x = input(inputs, 0);
    const dx = zeros(x.shape, x);
    for (let t = 0; t < rowCount(dy); t++) {
      const from = row(dy, t);
      const to = row(dx, t);
      for (let i = 0; i < channels.length; i++) {
        const channel = channels[i] as number;
        to[channel] = (to[channel] as number) + (from[i] as number);
      }
    }
    return [dx];
  },
  absorb: (node, channels, tie) => {
    const [x] = node.inputs;
    if (!x) return [];
    // Channels that are not taken keep what they are; one that is taken twice has one factor.
    const through = new Int32Array(width(x.shape)).fill(-1);
    node.attributes.channels.forEach((channel, i) => {
      const column = channels[i] as number;
      const before = through[channel] as number;
      if (before >= 0 && column >= 0) tie(before, column);
      if (before < 0) through[channel] = column;
    });
    return [{ node: x, channels: through }];
  },
};

function outputsOf(step: Step, rows: number): readonly number[] {
  return step.outputs ?? Array.from({ length: rows }, (_, index) => index);
}

/** The rows whose logits are wanted. */
export const lastTokens: Operator<'lastTokens'> = {
  arity: [1, 1],
  shape: ([x]) => ['O', width(rowsOf('lastTokens', x))],
  evaluate: (inputs, _, step) => {
    const x = input(inputs, 0);
    const outputs = outputsOf(step, rowCount(x));
    const out = zeros([outputs.length, width(x.shape)], x);
    outputs.forEach((from, to) => {
      row(out, to).set(row(x, from));
    });
    return out;
  },
  gradient: ({ dy, inputs, step }) => {
    const x = input(inputs, 0);
    const dx = zeros(x.shape, x);
    outputsOf(step, rowCount(x)).forEach((to, from) => {
      row(dx, to).set(row(dy, from));
    });
    return [dx];
  },
};
