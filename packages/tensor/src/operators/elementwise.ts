import { ShapeMismatchError } from '../errors.ts';
import type { OperatorName } from '../graph/attributes.ts';
import { mapTensor } from '../tensor.ts';
import { erf } from './erf.ts';
import { input } from './inputs.ts';
import type { Operator } from './operator.ts';
import { sameShape } from './shapes.ts';

/** Works on each element alone. `f` and its derivative get the operator's attributes. */
function elementwise<Op extends OperatorName>(
  f: (x: number, attributes: Parameters<Operator<Op>['shape']>[1]) => number,
  derivative: (x: number, attributes: Parameters<Operator<Op>['shape']>[1]) => number,
): Operator<Op> {
  return {
    arity: [1, 1],
    shape: ([x]) => {
      if (!x) throw new ShapeMismatchError('An elementwise operator needs an input.');
      return x;
    },
    evaluate: (inputs, attributes) => mapTensor(input(inputs, 0), (x) => f(x, attributes)),
    gradient: ({ dy, inputs, attributes }) => {
      const x = input(inputs, 0).data;
      return [mapTensor(dy, (d, i) => d * derivative(x[i] as number, attributes))];
    },
  };
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** x sigmoid(x). */
export const silu: Operator<'silu'> = elementwise(
  (x) => x * sigmoid(x),
  (x) => {
    const s = sigmoid(x);
    return s * (1 + x * (1 - s));
  },
);

export const gelu: Operator<'gelu'> = elementwise(
  (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  (x) => 0.5 * (1 + erf(x * Math.SQRT1_2)) + (x * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI),
);

const geluSlope = Math.sqrt(2 / Math.PI);
const geluCubic = 0.044715;

export const geluTanh: Operator<'geluTanh'> = elementwise(
  (x) => 0.5 * x * (1 + Math.tanh(geluSlope * (x + geluCubic * x ** 3))),
  (x) => {
    const t = Math.tanh(geluSlope * (x + geluCubic * x ** 3));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * geluSlope * (1 + 3 * geluCubic * x * x);
  },
);

export const relu: Operator<'relu'> = {
  ...elementwise<'relu'>(
    (x) => Math.max(x, 0),
    (x) => (x > 0 ? 1 : 0),
  ),
  absorb: (node, channels) => node.inputs.map((from) => ({ node: from, channels })), // the factors are positive
};

export const scale: Operator<'scale'> = {
  ...elementwise<'scale'>(
    (x, { factor }) => x * factor,
    (_, { factor }) => factor,
  ),
  absorb: (node, channels) => node.inputs.map((from) => ({ node: from, channels })),
};

export const softcap: Operator<'softcap'> = elementwise<'softcap'>(
  (x, { cap }) => cap * Math.tanh(x / cap),
  (x, { cap }) => 1 - Math.tanh(x / cap) ** 2,
);

export const clamp: Operator<'clamp'> = elementwise<'clamp'>(
  (x, { min, max }) => Math.min(Math.max(x, min), max),
  (x, { min, max }) => (x > min && x < max ? 1 : 0),
);

export const add: Operator<'add'> = {
  arity: [2, 2],
  shape: ([a = [], b = []]) => sameShape('add', a, b),
  evaluate: (inputs) => {
    const b = input(inputs, 1).data;
    return mapTensor(input(inputs, 0), (x, i) => x + (b[i] as number));
  },
  gradient: ({ dy }) => [dy, dy],
};

export const mul: Operator<'mul'> = {
  arity: [2, 2],
  shape: ([a = [], b = []]) => sameShape('mul', a, b),
  evaluate: (inputs) => {
    const b = input(inputs, 1).data;
    return mapTensor(input(inputs, 0), (x, i) => x * (b[i] as number));
  },
  gradient: ({ dy, inputs }) => {
    const a = input(inputs, 0).data;
    const b = input(inputs, 1).data;
    return [mapTensor(dy, (d, i) => d * (b[i] as number)), mapTensor(dy, (d, i) => d * (a[i] as number))];
  },
  absorb: (node, channels) => node.inputs.map((from) => ({ node: from, channels })), // either factor will do
};
