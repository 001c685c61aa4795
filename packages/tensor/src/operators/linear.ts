import { rowCount, tensor, zeros, type Tensor } from '../tensor.ts';
import { input } from './inputs.ts';
import type { Operator } from './operator.ts';
import { matrixOf, rowsOf, vectorOf } from './shapes.ts';
import { width } from '../graph/node.ts';

function columnSums(x: Tensor): Tensor {
  const columns = x.shape.at(-1) ?? 1;
  const out = zeros([columns], x);
  for (let i = 0; i < x.data.length; i++)
    out.data[i % columns] = (out.data[i % columns] as number) + (x.data[i] as number);
  return out;
}

/** y = x Wᵀ + b. Inputs: x [T, in], W [out, in], b [out] if there is one. */
export const linear: Operator<'linear'> = {
  arity: [2, 3],
  shape: ([x, weight, bias]) => {
    const [tokens = 'T'] = rowsOf('linear', x);
    const [out] = matrixOf('linear', weight, width(x ?? []));
    if (bias) vectorOf('linear', bias, out);
    return [tokens, out];
  },
  *evaluate(inputs) {
    const x = input(inputs, 0);
    const weight = input(inputs, 1);
    const [n = 1, k = 1] = weight.shape;
    const m = rowCount(x);
    const out = yield { m, n, k, a: x.data, b: weight.data, transposeB: true };
    const bias = inputs[2]?.data;
    if (bias) for (let i = 0; i < out.length; i++) out[i] = (out[i] as number) + (bias[i % n] as number);
    return tensor([m, n], out);
  },
  *gradient({ dy, inputs, wanted }) {
    const x = input(inputs, 0);
    const weight = input(inputs, 1);
    const [n = 1, k = 1] = weight.shape;
    const m = rowCount(x);
    const dx = wanted[0] ? tensor(x.shape, yield { m, n: k, k: n, a: dy.data, b: weight.data }) : undefined;
    const dWeight = wanted[1]
      ? tensor(weight.shape, yield { m: n, n: k, k: m, a: dy.data, b: x.data, transposeA: true })
      : undefined;
    return [dx, dWeight, wanted[2] ? columnSums(dy) : undefined];
  },
  absorb: () => 'here', // rows of W and b
};
