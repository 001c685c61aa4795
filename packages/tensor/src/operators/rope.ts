import { ShapeMismatchError } from '../errors.ts';
import type { RopeAttributes } from '../graph/attributes.ts';
import { width } from '../graph/node.ts';
import { columnCount, type Tensor } from '../tensor.ts';
import { input } from './inputs.ts';
import type { Operator, Step } from './operator.ts';
import { ropeTable } from './rope-table.ts';
import { rowsOf } from './shapes.ts';

function rotate(x: Tensor, attributes: RopeAttributes, step: Step, direction: 1 | -1): Tensor {
  const { headDim, rotaryDim, style } = attributes;
  const columns = columnCount(x);
  const half = rotaryDim / 2;
  const out = { shape: x.shape, data: x.data.slice() };
  let begin = 0;
  for (const length of step.sequences) {
    const table = ropeTable(attributes, length);
    for (let position = 0; position < length; position++, begin += columns) {
      for (let head = begin; head < begin + columns; head += headDim) {
        for (let i = 0; i < half; i++) {
          const first = style === 'half' ? head + i : head + 2 * i;
          const second = style === 'half' ? first + half : first + 1;
          const cos = table[(position * half + i) * 2] as number;
          const sin = direction * (table[(position * half + i) * 2 + 1] as number);
          const a = x.data[first] as number;
          const b = x.data[second] as number;
          out.data[first] = a * cos - b * sin;
          out.data[second] = b * cos + a * sin;
        }
      }
    }
  }
  return out;
}

/** Rotary positions (Su et al. 2021) on every head of x [T, heads * headDim]. */
export const rope: Operator<'rope'> = {
  arity: [1, 1],
  shape: ([x], { headDim, rotaryDim, scaling }) => {
    const rows = rowsOf('rope', x);
    if (width(rows) % headDim !== 0 || rotaryDim % 2 !== 0 || rotaryDim > headDim) {
      throw new ShapeMismatchError(
        `rope: ${width(rows)} channels do not hold heads of ${headDim} with ${rotaryDim} rotated.`,
      );
    }
    for (const factors of scalingFactors(scaling)) {
      if (factors.length !== rotaryDim / 2) {
        throw new ShapeMismatchError(`rope: ${factors.length} scaling factors for ${rotaryDim / 2} frequencies.`);
      }
    }
    return rows;
  },
  evaluate: (inputs, attributes, step) => rotate(input(inputs, 0), attributes, step, 1),
  // A rotation's transpose is its inverse; the magnitude of a stretched table stays.
  gradient: ({ dy, attributes, step }) => [rotate(dy, attributes, step, -1)],
};

function scalingFactors(scaling: RopeAttributes['scaling']): readonly (readonly number[])[] {
  if (scaling?.type === 'longrope') return [scaling.shortFactors, scaling.longFactors];
  return scaling?.type === 'factors' ? [scaling.factors] : [];
}
