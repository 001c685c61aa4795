import type { Instruction, Node, RopeAttributes } from '@llm/tensor';

/** What an instruction is made with once buffers have numbers. */
export interface Lowering {
  readonly buffer: (node: Node) => number;
  /** Index of the table of cos and sin for a rotation. */
  readonly ropeTable: (rope: RopeAttributes) => number;
}

/** One native instruction, still in terms of the graph's nodes. */
export interface Operation {
  /** Nodes whose buffers it reads. */
  readonly reads: readonly Node[];
  /** Nodes whose values it leaves behind. */
  readonly writes: readonly Node[];
  /**
   * A value that it reads at element i only to make element i of its result: the result may take that value's memory over
   * where nothing else needs the value any more.
   */
  readonly mayReplace?: readonly Node[];
  /** A value that it changes in place, so that the result must have its memory. */
  readonly replaces?: Node;
  /** @param joins - whether the instruction before it is of the same stage */
  lower(lowering: Lowering, joins?: boolean): Instruction;
}
