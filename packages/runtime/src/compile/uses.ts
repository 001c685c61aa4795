import type { Node } from '@llm/tensor';

/** Who reads what, among the nodes that some results depend on. Nodes that they do not depend on have no place here. */
export class Uses {
  readonly #readers = new Map<Node, Node[]>();

  constructor(results: readonly Node[]) {
    const pending = [...results];
    for (let node = pending.pop(); node; node = pending.pop()) {
      if (this.#readers.has(node)) continue;
      this.#readers.set(node, []);
      pending.push(...node.inputs);
    }
    for (const node of this.nodes) for (const input of new Set(node.inputs)) this.#readers.get(input)?.push(node);
  }

  /** In the order in which the graph was made. */
  get nodes(): readonly Node[] {
    return [...this.#readers.keys()].sort((a, b) => a.id - b.id);
  }

  readers(node: Node): readonly Node[] {
    return this.#readers.get(node) ?? [];
  }

  /** The one node that reads it, if there is exactly one. */
  onlyReader(node: Node): Node | undefined {
    const readers = this.readers(node);
    return readers.length === 1 ? readers[0] : undefined;
  }
}
