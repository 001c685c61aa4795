import type { Checkpoint } from '@llm/models';
import { equivalentScales, isActivation, isChannelScale, type Graph } from '@llm/tensor';

/** The linears whose input is multiplied by a vector of weights, and the names of those vectors. */
export function scaledInputs(graph: Graph): Map<string, string> {
  const found = new Map<string, string>();
  for (const node of graph.nodes) {
    const [input] = node.inputs;
    const vector = input && isChannelScale(input) ? input.inputs[1] : undefined;
    if (node.op === 'linear' && vector?.op === 'weight') found.set(node.attributes.name, vector.attributes.name);
  }
  return found;
}

/**
 * The model's graph, in which the linears behind an activation that lets no scale through have their input multiplied by a vector, so
 * that this vector takes the scale up (AWQ's scaled activations): GPT-NeoX's `dense_4h_to_h` behind GELU, and its like.
 * @param exchanged - whether a weight takes part in exchanges of scales
 */
export function graphWithInputScales(
  { architecture, config }: Checkpoint,
  graph: Graph,
  exchanged: (weight: string) => boolean,
): Graph {
  const covered = new Set(equivalentScales(graph).flatMap(({ linears }) => linears));
  const missing = graph.nodes.flatMap((node) => {
    if (node.op !== 'linear' || node.block === undefined || covered.has(node)) return [];
    const [input, weight] = node.inputs;
    const stands = input && weight?.op === 'weight' && isActivation(input) && graph.consumers(input).length === 1;
    return stands && exchanged(weight.attributes.name) ? [node.attributes.name] : [];
  });
  if (missing.length === 0) return graph;
  const before = config['quantization_config'] as object | undefined;
  const input_scales = [...scaledInputs(graph).keys(), ...missing];
  return architecture.build({ ...config, quantization_config: { ...before, input_scales } }).graph;
}
