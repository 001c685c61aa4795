import type { GgufBlockType, MatrixDescription, MatrixFormat } from '@llm/tensor';

/** What `importGguf` makes of each kind of blocks: a packed format and its groups, or float16 for those on no packed grid. */
const targets: Readonly<Record<GgufBlockType, readonly [format: MatrixFormat, groupSize?: number]>> = {
  Q4_0: ['int4-sym', 32],
  Q4_1: ['int4-min', 32],
  Q5_0: ['int8', 32],
  Q5_1: ['f16'],
  Q8_0: ['int8', 32],
  IQ4_NL: ['int8', 32],
  IQ4_XS: ['int8', 32],
  Q2_K: ['int4-min', 16],
  Q3_K: ['int3-sym', 16],
  Q4_K: ['int4-min', 32],
  Q5_K: ['f16'],
  Q6_K: ['int8', 16],
};

export function isBlockType(name: string): name is GgufBlockType {
  return Object.hasOwn(targets, name);
}

/** The matrix that a tensor of such blocks becomes. */
export function ggufMatrix(type: GgufBlockType, rows: number, columns: number): MatrixDescription {
  const [format, groupSize] = targets[type];
  return { format, rows, columns, ...(groupSize !== undefined && { groupSize }) };
}
