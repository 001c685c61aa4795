import { openCheckpoint } from '@llm/models';
import { evaluate, type Tensor } from '@llm/tensor';

/** The logits of a model for some sequences by the plain operators, one array [tokens, vocabulary] each. */
export async function plainLogits(model: string, sequences: readonly Int32Array[]): Promise<Float32Array[]> {
  using checkpoint = await openCheckpoint(model);
  const { graph, logits } = checkpoint.architecture.build(checkpoint.config);
  const weights = new Map<string, Tensor>();
  for (const node of graph.nodes) {
    if (node.op !== 'weight') continue;
    const { name, shape } = node.attributes;
    weights.set(name, { shape, data: checkpoint.read(name) });
  }
  return sequences.map((tokens) => {
    const values = evaluate(graph, tokens, (name) => weights.get(name) as Tensor);
    return Float32Array.from(values.get(logits)?.data ?? []);
  });
}

/** The mean squared difference of logits. */
export function meanSquare(a: readonly Float32Array[], b: readonly Float32Array[]): number {
  let sum = 0;
  let count = 0;
  for (const [s, values] of a.entries())
    for (const [i, value] of values.entries()) {
      sum += (value - (b[s]?.[i] ?? NaN)) ** 2;
      count++;
    }
  return sum / count;
}
