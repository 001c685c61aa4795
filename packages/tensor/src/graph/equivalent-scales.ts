import { operators } from '../operators/table.ts';
import type { Absorption, Tie } from '../operators/operator.ts';
import type { OperatorName } from './attributes.ts';
import type { Graph } from './graph.ts';
import { linearsByInput, type LinearGroup } from './linears.ts';
import { width, type Node, type NodeOf } from './node.ts';

/**
 * An exchange of scales that changes nothing: the input of some linears is divided by a factor per channel inside `absorber`, and
 * their weights' columns are multiplied by it. Where heads share keys and values, or a channel is read twice, several columns have
 * one factor.
 */
export interface EquivalentScale {
  readonly linears: readonly NodeOf<'linear'>[];
  readonly block: number;
  /** The norm, the linear, or the product with a vector of weights whose output channels (weight and bias) are divided. */
  readonly absorber: NodeOf<'linear'> | NodeOf<'rmsNorm'> | NodeOf<'layerNorm'> | NodeOf<'mul'>;
  /** How many factors there are to choose. */
  readonly factors: number;
  /** The factor of each column of the linears. */
  readonly columns: Int32Array;
  /** The factor of each channel of the absorber; -1 where it is left alone. */
  readonly channels: Int32Array;
}

/** Every exchange inside decoder blocks, found from the graph alone: what AWQ and TEQ have to know of an architecture. */
export function equivalentScales(graph: Graph): readonly EquivalentScale[] {
  return linearsByInput(graph).flatMap((group) => {
    const exchange = exchangeOf(graph, group);
    return exchange ? [exchange] : [];
  });
}

function exchangeOf(graph: Graph, { input, linears, block }: LinearGroup): EquivalentScale | undefined {
  if (block === undefined || !linears.every((linear) => linear.block === block && ownsWeights(graph, linear)))
    return undefined;
  if (graph.consumers(input).some((node) => node.op !== 'linear')) return undefined;
  const columns = Int32Array.from({ length: width(input.shape) }, (_, column) => column);
  const shared = new SharedFactors(columns.length);
  const found = absorberOf(graph, { node: input, channels: columns }, block, (a, b) => {
    shared.tie(a, b);
  });
  if (!found) return undefined;
  const factors = shared.numbered();
  return {
    linears,
    block,
    absorber: found.absorber,
    factors: Math.max(...factors) + 1,
    columns: factors,
    channels: found.channels.map((column) => (column < 0 ? -1 : (factors[column] as number))),
  };
}

interface Found {
  readonly absorber: EquivalentScale['absorber'];
  readonly channels: Int32Array;
}

/** Follows the channels upstream to something that takes their factors up. */
function absorberOf(graph: Graph, at: Absorption, block: number, tie: Tie): Found | undefined {
  const { node, channels } = at;
  if (node.block !== block) return undefined;
  const answer = absorb(node, channels, tie);
  if (answer === 'here') {
    const absorber = node as EquivalentScale['absorber'];
    return ownsWeights(graph, absorber) ? { absorber, channels } : undefined;
  }
  for (const next of answer) {
    // Whatever else reads the same values would see them change. Other takes see other channels of them.
    const others = graph.consumers(next.node).filter((reader) => reader !== node);
    if (
      others.some(
        (reader) => reader.op !== 'take' || reader.attributes.channels.some((c) => (next.channels[c] ?? -1) >= 0),
      )
    )
      continue;
    const found = absorberOf(graph, next, block, tie);
    if (found) return found;
  }
  return undefined;
}

function absorb<Op extends OperatorName>(
  node: NodeOf<Op>,
  channels: Int32Array,
  tie: Tie,
): readonly Absorption[] | 'here' {
  return operators[node.op].absorb?.(node, channels, tie) ?? [];
}

/** Whether nothing else reads the node's weights: a tied weight cannot change for one reader only. */
function ownsWeights(graph: Graph, node: Node): boolean {
  return node.inputs.slice(1).every((weight) => graph.consumers(weight).length === 1);
}

/** Columns joined into sets, each with one factor (union-find). */
class SharedFactors {
  readonly #parent: Int32Array;

  constructor(columns: number) {
    this.#parent = Int32Array.from({ length: columns }, (_, column) => column);
  }

  #root(column: number): number {
    let at = column;
    while (this.#parent[at] !== at) at = this.#parent[at] as number;
    return at;
  }

  tie(a: number, b: number): void {
    if (a < 0 || b < 0) return;
    const [first, second] = [this.#root(a), this.#root(b)];
    this.#parent[Math.max(first, second)] = Math.min(first, second);
  }

  /** The number of each column's set, counted from 0 in order of columns. */
  numbered(): Int32Array {
    const numbers = new Map<number, number>();
    return this.#parent.map((_, column) => {
      const root = this.#root(column);
      const known = numbers.get(root) ?? numbers.size;
      numbers.set(root, known);
      return known;
    });
  }
}
