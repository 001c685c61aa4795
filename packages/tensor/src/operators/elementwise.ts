import type { OperatorName } from '../graph/attributes.ts';
import { width, type Shape } from '../graph/node.ts';
import { mapTensor, zeros, type Tensor } from '../tensor.ts';
import { erf } from './erf.ts';
import { input } from './inputs.ts';
import type { Operator } from './operator.ts';
import { rowsOf, sameShape, vectorOf } from './shapes.ts';

const sameAsInput = ([x = []]: readonly Shape[]): Shape => x;

/** Works on each element alone. `f` and its derivative get the operator's attributes. */
function elementwise<Op extends OperatorName>(
  f: (x: number, attributes: Parameters<Operator<Op>['shape']>[1]) => number,
  derivative: (x: number, attributes: Parameters<Operator<Op>['shape']>[1]) => number,
): Operator<Op> {
  return {
    arity: [1, 1],
    shape: sameAsInput,
    evaluate: (inputs, attributes) => mapTensor(input(inputs, 0), (x) => f(x, attributes)),
    gradient: ({ dy, inputs, attributes }) => {
      const x = input(inputs, 0).data;
      return [mapTensor(dy, (d, i) => d * derivative(x[i] as number, attributes))];
    },
  };
}

/** x sigmoid(x). */
export const silu: Operator<'silu'> = {
  arity: [1, 1],
  shape: sameAsInput,
  evaluate: (inputs) => {
    const x = input(inputs, 0);
    const out = zeros(x.shape, x);
    const [from, to] = [x.data, out.data];
    for (let i = 0; i < to.length; i++) to[i] = (from[i] as number) / (1 + Math.exp(-(from[i] as number)));
    return out;
  },
  gradient: ({ dy, inputs }) => {
    const out = zeros(dy.shape, dy);
    const [d, from, to] = [dy.data, input(inputs, 0).data, out.data];
    for (let i = 0; i < to.length; i++) {
      const x = from[i] as number;
      const s = 1 / (1 + Math.exp(-x));
      to[i] = (d[i] as number) * s * (1 + x * (1 - s));
    }
    return [out];
  },
};

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

// Sums and products are much of what calibration does besides matrix products, so they have loops of their own.

/** a + b. */
export function sum(a: Tensor, b: Tensor): Tensor {
  const out = zeros(a.shape, a);
  const [x, y, z] = [a.data, b.data, out.data];
  for (let i = 0; i < z.length; i++) z[i] = (x[i] as number) + (y[i] as number);
  return out;
}

function product(a: Tensor, b: Tensor): Tensor {
  const out = zeros(a.shape, a);
  const [x, y, z] = [a.data, b.data, out.data];
  if (y.length === z.length) for (let i = 0; i < z.length; i++) z[i] = (x[i] as number) * (y[i] as number);
  else
    for (let begin = 0; begin < z.length; begin += y.length)
      for (let c = 0; c < y.length; c++) z[begin + c] = (x[begin + c] as number) * (y[c] as number);
  return out;
}

/** The gradient of a vector that every row is multiplied by. */
function vectorGradient(dy: Tensor, x: Tensor, vector: Tensor): Tensor {
  // Over all tokens: in double precision, whatever the tensors are.
  const sums = new Float64Array(vector.data.length);
  for (let begin = 0; begin < dy.data.length; begin += sums.length)
    for (let c = 0; c < sums.length; c++)
      sums[c] = (sums[c] as number) + (dy.data[begin + c] as number) * (x.data[begin + c] as number);
  const out = zeros(vector.shape, vector);
  out.data.set(sums);
  return out;
}

export const add: Operator<'add'> = {
  arity: [2, 2],
  shape: ([a = [], b = []]) => sameShape('add', a, b),
  evaluate: (inputs) => sum(input(inputs, 0), input(inputs, 1)),
  gradient: ({ dy }) => [dy, dy],
};

/** Inputs: a [T, columns], and b of the same shape or one vector [columns] for all rows. */
export const mul: Operator<'mul'> = {
  arity: [2, 2],
  shape: ([a = [], b = []]) => {
    if (b.length !== 1) return sameShape('mul', a, b);
    vectorOf('mul', b, width(rowsOf('mul', a)));
    return a;
  },
  evaluate: (inputs) => product(input(inputs, 0), input(inputs, 1)),
  gradient: ({ dy, inputs, wanted }) => {
    const [a, b] = [input(inputs, 0), input(inputs, 1)];
    const other = (): Tensor => (b.shape.length === 1 ? vectorGradient(dy, a, b) : product(dy, a));
    return [wanted[0] === false ? undefined : product(dy, b), wanted[1] === false ? undefined : other()];
  },
  // A vector of weights takes the factors up; of two values either will do.
  absorb: (node, channels) =>
    node.inputs[1]?.op === 'weight' ? 'here' : node.inputs.map((from) => ({ node: from, channels })),
};
