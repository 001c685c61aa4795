import { encodeFloats, type ElementType } from '../../number-formats.ts';
import { fieldOf } from './awq.ts';
import { packStream, wordCount } from './bits.ts';
import { groupCount, type QuantizedCodes } from './linear.ts';
import { transposeFloats } from './tensor-parts.ts';

/** What must be known of a linear before its codes are. */
export type LinearShape = Pick<QuantizedCodes, 'bits' | 'rows' | 'columns' | 'groupSize'> & {
  /** All zero points are the middle of the grid. */
  readonly symmetric: boolean;
};

/** One of the tensors that a linear is stored as. */
export interface LinearPart {
  /** What follows the linear's name, such as `qweight`. */
  readonly part: string;
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  bytes(linear: QuantizedCodes): Uint8Array;
}

/** A way to store linears that are on an integer grid. */
export interface Layout {
  /** Why the layout cannot hold a linear; undefined if it can. */
  obstacle(shape: LinearShape): string | undefined;
  parts(shape: LinearShape): readonly LinearPart[];
}

/** GPTQ, version 2: zero points as they are. */
export const gptqLayout: Layout = {
  obstacle({ bits, rows, columns }) {
    if (![2, 3, 4, 8].includes(bits)) return `${bits} bits`;
    if ((rows * bits) % 32 !== 0) return `${rows} outputs, which fill no whole words`;
    return (columns * bits) % 32 === 0 ? undefined : `${columns} inputs, which fill no whole words`;
  },
  parts(shape) {
    const { bits, rows, columns, groupSize } = shape;
    const groups = groupCount(shape);
    const [inWords, outWords] = [wordCount(columns, bits), wordCount(rows, bits)];
    return [
      words('qweight', [inWords, rows], ({ codes }, out) => {
        for (let row = 0; row < rows; row++) packStream(codes, row * columns, 1, columns, bits, out, row, rows);
      }),
      words('qzeros', [groups, outWords], ({ zeroPoints }, out) => {
        const zeros = Uint8Array.from(zeroPoints);
        for (let group = 0; group < groups; group++)
          packStream(zeros, group, groups, rows, bits, out, group * outWords, 1);
      }),
      halves('scales', [groups, rows], ({ scales }) => transposeFloats(scales, rows, groups)),
      words('g_idx', [columns], ({ groupOf }, out) => {
        for (let input = 0; input < columns; input++) out[input] = groupOf?.[input] ?? Math.floor(input / groupSize);
      }),
    ];
  },
};

/** AWQ in the "gemm" layout. */
export const awqLayout: Layout = {
  obstacle({ bits, rows, columns, groupSize }) {
    if (bits !== 4) return `${bits} bits`;
    if (rows % 8 !== 0) return `${rows} outputs, which fill no whole words`;
    return columns % groupSize === 0 ? undefined : 'a shorter last group';
  },
  parts(shape) {
    const { rows, columns } = shape;
    const groups = groupCount(shape);
    return [
      words('qweight', [columns, rows / 8], ({ codes }, out) => {
        interleave(codes, rows, columns, out);
      }),
      words('qzeros', [groups, rows / 8], ({ zeroPoints }, out) => {
        interleave(zeroPoints, rows, groups, out);
      }),
      halves('scales', [groups, rows], ({ scales }) => transposeFloats(scales, rows, groups)),
    ];
  },
};

/** compressed-tensors, "pack-quantized". */
export const compressedLayout: Layout = {
  obstacle: ({ columns, groupSize }) => (columns % groupSize === 0 ? undefined : 'a shorter last group'),
  parts(shape) {
    const { bits, rows, columns, symmetric } = shape;
    const groups = groupCount(shape);
    const rowWords = wordCount(columns, bits);
    const weight: readonly LinearPart[] = [
      words('weight_packed', [rows, rowWords], ({ codes }, out) => {
        for (let row = 0; row < rows; row++) packStream(codes, row * columns, 1, columns, bits, out, row * rowWords, 1);
      }),
      halves('weight_scale', [rows, groups], ({ scales }) => scales),
      {
        ...{ part: 'weight_shape', dtype: 'I64', shape: [2] },
        bytes: () => new Uint8Array(BigInt64Array.of(BigInt(rows), BigInt(columns)).buffer),
      },
    ];
    if (symmetric) return weight;
    const zeroPoints = words('weight_zero_point', [wordCount(rows, bits), groups], ({ zeroPoints }, out) => {
      const zeros = Uint8Array.from(zeroPoints);
      for (let group = 0; group < groups; group++) packStream(zeros, group, groups, rows, bits, out, group, groups);
    });
    return [...weight, zeroPoints];
  },
};

/** [outputs, n] codes as [n, outputs / 8] words. */
function interleave(codes: ArrayLike<number>, rows: number, n: number, out: Uint32Array): void {
  const rowWords = rows / 8;
  for (let row = 0; row < rows; row++) {
    const shift = 4 * (fieldOf[row % 8] as number);
    const word = row >> 3;
    for (let i = 0; i < n; i++) {
      out[i * rowWords + word] = (out[i * rowWords + word] as number) | ((codes[row * n + i] as number) << shift);
    }
  }
}

function words(
  part: string,
  shape: readonly number[],
  fill: (linear: QuantizedCodes, out: Uint32Array) => void,
): LinearPart {
  return {
    ...{ part, dtype: 'I32', shape },
    bytes(linear) {
      const out = new Uint32Array(shape.reduce((product, size) => product * size, 1));
      fill(linear, out);
      return new Uint8Array(out.buffer);
    },
  };
}

function halves(part: string, shape: readonly number[], values: (linear: QuantizedCodes) => Float32Array): LinearPart {
  return { ...{ part, dtype: 'F16', shape }, bytes: (linear) => encodeFloats('F16', values(linear)) };
}
