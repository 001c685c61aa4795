import { unpackMatrix, type Matrix } from '@llm/tensor';

import { floatToHalf, halfToFloat } from '../number-formats.ts';
import type { QuantizedCodes } from '../formats/quantized/linear.ts';

/**
 * A packed 4-bit matrix as codes with integer zero points. A free minimum becomes the nearest zero point, and the codes are taken
 * anew against it; two levels of scales become one float16. Undefined for all other matrices.
 */
export function gridOfMatrix(matrix: Matrix): QuantizedCodes | undefined {
  const { format, rows, columns, groups, groupSize } = matrix;
  if (!format.startsWith('int4') || groupSize === undefined) return undefined;
  const plain = unpackMatrix(matrix);
  const count = rows * groups;
  const { multipliers, minima, zeroPoints: stored } = plain;
  const scales = Float32Array.from({ length: count }, (_, i) => {
    const scale = multipliers
      ? (plain.scales[Math.floor(i / groups)] as number) * (multipliers[i] as number)
      : plain.scales[i];
    return halfToFloat(floatToHalf(scale as number));
  });
  const shape = { bits: 4, rows, columns, groupSize };
  if (!minima) {
    return {
      ...shape,
      codes: plain.codes,
      scales,
      zeroPoints: stored ? Uint16Array.from(stored) : new Uint16Array(count).fill(8),
    };
  }
  const zeroPoints = Uint16Array.from(scales, (scale, i) =>
    scale === 0 ? 0 : clamp(Math.round(-(minima[i] as number) / scale)),
  );
  const codes = plain.codes.map((code, i) => {
    const group = Math.floor(i / columns) * groups + Math.floor((i % columns) / groupSize);
    const scale = scales[group] as number;
    if (scale === 0) return 0;
    return clamp(Math.round((scale * code + (minima[group] as number)) / scale) + (zeroPoints[group] as number));
  });
  return { ...shape, codes, scales, zeroPoints };
}

function clamp(code: number): number {
  return Math.min(15, Math.max(0, code));
}
