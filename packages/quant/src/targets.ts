import { width, type Graph } from '@llm/tensor';

/** A weight matrix that can be quantized. */
export interface Target {
  /** Of the linear or embedding, without `.weight`: what recipes match. */
  readonly name: string;
  /** Of the tensor. */
  readonly weight: string;
  /** `head` also where the matrix is the embedding as well (tied). */
  readonly kind: 'linear' | 'head' | 'embedding';
  /** Decoder block; undefined for head and embedding. */
  readonly block: number | undefined;
  readonly rows: number;
  readonly columns: number;
}

/** The weights of a model's linears and of its token embedding, in the order in which the forward pass uses them. */
export function findTargets(graph: Graph): Target[] {
  const targets: Target[] = [];
  for (const node of graph.nodes) {
    if (node.op !== 'weight') continue;
    const readers = graph.consumers(node);
    const linear = readers.find((reader) => reader.op === 'linear' && reader.inputs[1] === node);
    const embed = readers.find((reader) => reader.op === 'embed');
    if (!linear && !embed) continue;
    const { name, shape } = node.attributes;
    targets.push({
      name: name.replace(/\.weight$/, ''),
      weight: name,
      kind: linear?.block !== undefined ? 'linear' : linear ? 'head' : 'embedding',
      block: linear?.block,
      rows: shape[0] ?? 1,
      columns: width(shape),
    });
  }
  return targets;
}
