import { width } from '../graph/node.ts';
import type { NormAttributes } from '../graph/attributes.ts';
import { zeros, type Tensor } from '../tensor.ts';
import { input } from './inputs.ts';
import type { Gradients, Operator } from './operator.ts';
import { rowsOf, vectorOf } from './shapes.ts';
import type { Shape } from '../graph/node.ts';

type Attributes = NormAttributes & { readonly weightOffset?: number };

function shape(operator: string, [x, weight, bias]: readonly Shape[], { perHead }: Attributes): Shape {
  const rows = rowsOf(operator, x);
  const length = perHead ?? width(rows);
  vectorOf(operator, weight, length);
  if (bias) vectorOf(operator, bias, length);
  if (width(rows) % length !== 0) rowsOf(operator, x, length);
  return rows;
}

/** Mean (zero unless centred) and inverse deviation of `length` values from `begin`. */
function statistics(
  x: Tensor,
  begin: number,
  length: number,
  epsilon: number,
  centred: boolean,
): readonly [number, number] {
  let mean = 0;
  if (centred) {
    for (let c = 0; c < length; c++) mean += x.data[begin + c] as number;
    mean /= length;
  }
  let variance = 0;
  for (let c = 0; c < length; c++) variance += ((x.data[begin + c] as number) - mean) ** 2;
  return [mean, 1 / Math.sqrt(variance / length + epsilon)];
}

function evaluate(centred: boolean, inputs: readonly Tensor[], { epsilon, weightOffset = 0 }: Attributes): Tensor {
  const x = input(inputs, 0);
  const weight = input(inputs, 1).data;
  const bias = inputs[2]?.data;
  const length = weight.length;
  const out = zeros(x.shape, x);
  for (let begin = 0; begin < x.data.length; begin += length) {
    const [mean, inverse] = statistics(x, begin, length, epsilon, centred);
    for (let c = 0; c < length; c++) {
      const normal = ((x.data[begin + c] as number) - mean) * inverse;
      out.data[begin + c] = normal * ((weight[c] as number) + weightOffset) + (bias?.[c] ?? 0);
    }
  }
  return out;
}

function gradient(
  centred: boolean,
  dy: Tensor,
  inputs: readonly Tensor[],
  { epsilon, weightOffset = 0 }: Attributes,
): Gradients {
  const x = input(inputs, 0);
  const weight = input(inputs, 1);
  const bias = inputs[2];
  const length = weight.data.length;
  const dx = zeros(x.shape, x);
  // Sums over all tokens: in double precision, whatever the tensors are.
  const dWeight = new Float64Array(length);
  const dBias = new Float64Array(length);
  for (let begin = 0; begin < x.data.length; begin += length) {
    const [mean, inverse] = statistics(x, begin, length, epsilon, centred);
    let meanG = 0;
    let meanGN = 0;
    for (let c = 0; c < length; c++) {
      const d = dy.data[begin + c] as number;
      const normal = ((x.data[begin + c] as number) - mean) * inverse;
      const g = d * ((weight.data[c] as number) + weightOffset);
      dWeight[c] = (dWeight[c] as number) + d * normal;
      dBias[c] = (dBias[c] as number) + d;
      meanG += g;
      meanGN += g * normal;
    }
    meanG = centred ? meanG / length : 0;
    meanGN /= length;
    for (let c = 0; c < length; c++) {
      const normal = ((x.data[begin + c] as number) - mean) * inverse;
      const g = (dy.data[begin + c] as number) * ((weight.data[c] as number) + weightOffset);
      dx.data[begin + c] = inverse * (g - meanG - normal * meanGN);
    }
  }
  const like = (values: Float64Array, of: Tensor): Tensor => {
    const out = zeros(of.shape, of);
    out.data.set(values);
    return out;
  };
  return [dx, like(dWeight, weight), bias && like(dBias, bias)];
}

/** Zhang and Sennrich 2019. Inputs: x [T, columns], weight [columns] or [perHead]. */
export const rmsNorm: Operator<'rmsNorm'> = {
  arity: [2, 2],
  shape: (inputs, attributes) => shape('rmsNorm', inputs, attributes),
  evaluate: (inputs, attributes) => evaluate(false, inputs, attributes),
  gradient: ({ dy, inputs, attributes }) => gradient(false, dy, inputs, attributes),
  // A weight that heads share cannot take up a factor per channel.
  absorb: (node) => (node.attributes.perHead === undefined ? 'here' : []),
};

/** Ba et al. 2016. Inputs: x [T, columns], weight, bias if there is one, both [columns] or [perHead]. */
export const layerNorm: Operator<'layerNorm'> = {
  arity: [2, 3],
  shape: (inputs, attributes) => shape('layerNorm', inputs, attributes),
  evaluate: (inputs, attributes) => evaluate(true, inputs, attributes),
  gradient: ({ dy, inputs, attributes }) => gradient(true, dy, inputs, attributes),
  absorb: (node) => (node.attributes.perHead === undefined ? 'here' : []),
};
