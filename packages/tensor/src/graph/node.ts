import type { OperatorAttributes, OperatorName } from './attributes.ts';

/** 'T' is the number of tokens in a step, 'O' that of its outputs; every other dimension is known when the graph is built. */
export type Dimension = number | 'T' | 'O';
export type Shape = readonly Dimension[];

export interface NodeOf<Op extends OperatorName> {
  /** Its place in {@link Graph.nodes}. */
  readonly id: number;
  readonly op: Op;
  readonly inputs: readonly Node[];
  readonly attributes: OperatorAttributes[Op];
  readonly shape: Shape;
  /** The decoder block that the node belongs to; undefined before the first and after the last, and for weights. */
  readonly block: number | undefined;
}

/** A node of the graph: `node.op === 'rope'` narrows its attributes. */
export type Node = { [Op in OperatorName]: NodeOf<Op> }[OperatorName];

/** The last dimension, which is never a number of tokens. */
export function width(shape: Shape): number {
  const last = shape.at(-1);
  return typeof last === 'number' ? last : 1;
}
