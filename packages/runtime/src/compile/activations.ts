import type { Activation, Node, NodeOf } from '@llm/tensor';

const activations: ReadonlySet<string> = new Set<Activation>(['silu', 'gelu', 'geluTanh', 'relu']);

export function isActivation(node: Node): node is NodeOf<Activation> & Node {
  return activations.has(node.op);
}
