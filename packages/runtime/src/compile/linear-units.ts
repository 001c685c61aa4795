import type { Node, NodeOf } from '@llm/tensor';

import { inputOf, weightOf } from './inputs.ts';
import type { Uses } from './uses.ts';
import type { RowRange, WeightFormat, Weights } from './weights.ts';

/** A linear, or some rows of one whose result is taken apart at once. */
export interface LinearUnit {
  readonly linear: NodeOf<'linear'>;
  /** Where the result goes: the linear itself, or the `take` of its rows. */
  readonly result: Node;
  /** Undefined for all of them. */
  readonly rows: RowRange | undefined;
}

/** Rows of a packed block. */
const blockRows = 32;

/**
 * The linears of a graph, with those taken apart that are several in one, such as gate_up_proj: each range of rows is a linear of
 * its own over the same memory. Not where attention alone reads the ranges, which finds its heads in any case.
 */
export function linearUnits(uses: Uses, weights: Weights): readonly LinearUnit[] {
  return uses.nodes
    .filter((node) => node.op === 'linear')
    .flatMap((linear) => {
      const format = weights.format(weightOf(linear, 1));
      const readers = uses.readers(linear);
      const ranges = readers.map((reader) => (reader.op === 'take' ? rangeOf(reader.attributes.channels) : undefined));
      const apart =
        ranges.every((range) => range && isMatrix(range, format)) &&
        readers.some((reader) => !uses.readers(reader).every(isPartOfAttention));
      if (!apart) return [{ linear, result: linear, rows: undefined }];
      return readers.map((result, i) => ({ linear, result, rows: ranges[i] }));
    });
}

function rangeOf(channels: Int32Array): RowRange | undefined {
  const [begin = 0] = channels;
  return channels.every((channel, i) => channel === begin + i) ? { begin, end: begin + channels.length } : undefined;
}

/** Dense rows can be cut anywhere, packed ones between blocks. */
function isMatrix({ begin, end }: RowRange, { groupSize, rows }: WeightFormat): boolean {
  return groupSize === undefined || (begin % blockRows === 0 && (end % blockRows === 0 || end === rows));
}

function isPartOfAttention(node: Node): boolean {
  return (
    node.op === 'attention' || node.op === 'rope' || (node.op === 'rmsNorm' && node.attributes.perHead !== undefined)
  );
}

export function unitInput(unit: LinearUnit): Node {
  return inputOf(unit.linear);
}
