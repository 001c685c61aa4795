import {
  equivalentScales,
  linearsByInput,
  linearWeight,
  type EquivalentScale,
  type Graph,
  type LinearGroup,
  type Node,
} from '@llm/tensor';

/** A decoder block as the calibrated methods see it. */
export interface Block {
  readonly index: number;
  /** Its linears by common input, in an order in which none depends on a later one. */
  readonly groups: readonly LinearGroup[];
  /** The exchanges of scales inside it that the method makes. */
  readonly exchanges: readonly EquivalentScale[];
  /** Names of all its weights. */
  readonly weights: readonly string[];
  readonly begin: Node | undefined;
  /** The first node behind it. */
  readonly end: Node | undefined;
}

/**
 * The decoder blocks of a model in order.
 * @param exchanged - whether a weight takes part in exchanges of scales; an exchange none of whose linears does is left out
 */
export function blocksOf(graph: Graph, exchanged: (weight: string) => boolean): Block[] {
  const groups = linearsByInput(graph);
  const exchanges = equivalentScales(graph).filter(({ linears }) =>
    linears.some((linear) => exchanged(linearWeight(linear).attributes.name)),
  );
  return Array.from({ length: graph.blocks }, (_, index): Block => {
    const nodes = graph.blockNodes(index);
    const weights = nodes.flatMap(({ inputs }) =>
      inputs.flatMap((input) => (input.op === 'weight' ? [input.attributes.name] : [])),
    );
    const last = nodes.at(-1);
    return {
      index,
      groups: groups.filter(({ block }) => block === index),
      exchanges: exchanges.filter(({ block }) => block === index),
      weights: [...new Set(weights)],
      begin: nodes[0],
      end: last && graph.nodes[last.id + 1],
    };
  });
}

/** The weights that an exchange changes. */
export function exchangedWeights({ linears, absorber }: EquivalentScale): string[] {
  const absorbing = absorber.inputs.slice(1).flatMap((input) => (input.op === 'weight' ? [input.attributes.name] : []));
  return [...linears.map((linear) => linearWeight(linear).attributes.name), ...absorbing];
}
