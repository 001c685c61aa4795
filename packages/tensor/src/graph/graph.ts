import { checkArity, operators } from '../operators/table.ts';
import type { OperatorAttributes, OperatorName } from './attributes.ts';
import type { Node, NodeOf } from './node.ts';

/**
 * A forward pass, described once. Nodes never change; a graph is the list of nodes in the order in which they were made, which
 * is an order in which they can be computed.
 */
export class Graph {
  readonly nodes: Node[] = [];
  readonly #consumers = new Map<Node, Node[]>();
  readonly #weights = new Map<string, NodeOf<'weight'>>();
  #block: number | undefined;
  #blocks = 0;

  /** The number of decoder blocks. */
  get blocks(): number {
    return this.#blocks;
  }

  /** @throws {@link ShapeMismatchError} if the inputs do not fit the operator */
  add<Op extends OperatorName>(op: Op, inputs: readonly Node[], attributes: OperatorAttributes[Op]): NodeOf<Op> {
    checkArity(op, inputs.length);
    const shape = operators[op].shape(
      inputs.map((input) => input.shape),
      attributes,
    );
    const block = op === 'weight' ? undefined : this.#block;
    const node: NodeOf<Op> = { id: this.nodes.length, op, inputs, attributes, shape, block };
    // NodeOf<Op> is a member of the union for every Op, which the compiler cannot see.
    const member = node as unknown as Node;
    this.nodes.push(member);
    for (const input of new Set(inputs)) this.#consumers.set(input, [...this.consumers(input), member]);
    return node;
  }

  /** The weight of that name, the same node for the same name: tied weights are one node with several readers. */
  weight(name: string, shape: readonly number[]): NodeOf<'weight'> {
    const known = this.#weights.get(name);
    if (known) return known;
    const node = this.add('weight', [], { name, shape });
    this.#weights.set(name, node);
    return node;
  }

  /** The names of all weights, in order of first use. */
  get weightNames(): readonly string[] {
    return [...this.#weights.keys()];
  }

  /** Everything made inside `build` belongs to decoder block `index`. */
  block<Result>(index: number, build: () => Result): Result {
    const outer = this.#block;
    this.#block = index;
    this.#blocks = Math.max(this.#blocks, index + 1);
    try {
      return build();
    } finally {
      this.#block = outer;
    }
  }

  /** The nodes that read `node`. */
  consumers(node: Node): readonly Node[] {
    return this.#consumers.get(node) ?? [];
  }

  /** The nodes of a decoder block in order, weights not among them. */
  blockNodes(block: number): readonly Node[] {
    return this.nodes.filter((node) => node.block === block);
  }

  /** What a block reads from outside, weights not among them: for ordinary models the one residual stream. */
  blockInputs(block: number): readonly Node[] {
    const outside = this.blockNodes(block)
      .flatMap((node) => node.inputs)
      .filter((input) => input.block !== block && input.op !== 'weight');
    return [...new Set(outside)];
  }

  /** What a block leaves for others, or for nobody at the graph's end: for ordinary models the one residual stream. */
  blockOutputs(block: number): readonly Node[] {
    return this.blockNodes(block).filter((node) => {
      const readers = this.consumers(node);
      return readers.length === 0 || readers.some((reader) => reader.block !== block);
    });
  }
}
