import type { Node } from '@llm/tensor';

/** The value that a node works on: the first of its inputs unless said otherwise. */
export function inputOf(node: Node, index = 0): Node {
  const input = node.inputs[index];
  if (!input) throw new RangeError(`Node ${node.id} (${node.op}) has no input ${index}.`);
  return input;
}

/** The name of the weight that is a node's input. */
export function weightOf(node: Node, index: number): string {
  const weight = inputOf(node, index);
  if (weight.op !== 'weight') throw new TypeError(`Input ${index} of node ${node.id} (${node.op}) is not a weight.`);
  return weight.attributes.name;
}
