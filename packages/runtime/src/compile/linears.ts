import type { Activation, Node, NodeOf } from '@llm/tensor';

import { isActivation } from './activations.ts';
import { groupBy } from './group-by.ts';
import { inputOf, weightOf } from './inputs.ts';
import type { Uses } from './uses.ts';
import { preparationKey, type Weights } from './weights.ts';

/** What follows a linear inside its instruction, and the node whose value then comes out. */
export type Epilogue =
  | { readonly kind: 'none' }
  | { readonly kind: 'add'; readonly residuals: readonly Node[] }
  | { readonly kind: 'activation'; readonly activation: Activation }
  | { readonly kind: 'gated'; readonly activation: Activation };

/** Linears that run as one instruction, since they read the same input. */
export interface LinearGroup {
  readonly input: Node;
  /** Gate before up where the epilogue is gated. */
  readonly linears: readonly NodeOf<'linear'>[];
  readonly epilogue: Epilogue;
  /** The node that each part's result belongs to; one only where the epilogue is gated. */
  readonly results: readonly Node[];
}

/**
 * Groups the linears of a graph by what can run together: the gate and up of a gated unit, then whatever reads the same input
 * with nothing after it (q, k and v), each of the others with its activation or its residual sum.
 */
export function groupLinears(uses: Uses, weights: Weights, compute: 'int8' | 'f32'): readonly LinearGroup[] {
  const linears = uses.nodes.filter((node) => node.op === 'linear');
  const keyOf = (linear: NodeOf<'linear'>): string => preparationKey(weights.format(weightOf(linear, 1)), compute);
  const claimed = new Set<Node>();
  const groups: LinearGroup[] = [];

  for (const gate of linears) {
    const gated = gatedUnit(gate, uses);
    if (!gated || keyOf(gate) !== keyOf(gated.up)) continue;
    for (const node of [gate, gated.up, gated.activation, gated.result]) claimed.add(node);
    groups.push({
      input: inputOf(gate),
      linears: [gate, gated.up],
      epilogue: { kind: 'gated', activation: gated.activation.op },
      results: [gated.result],
    });
  }

  // From the last to the first, so that of two linears that are added to each other the later one takes the sum.
  for (const linear of linears.toReversed()) {
    if (claimed.has(linear)) continue;
    const reader = uses.onlyReader(linear);
    if (reader && isActivation(reader)) {
      claimed.add(linear).add(reader);
      const epilogue: Epilogue = { kind: 'activation', activation: reader.op };
      groups.push({ input: inputOf(linear), linears: [linear], epilogue, results: [reader] });
      continue;
    }
    const sum = residualSum(linear, uses, claimed);
    if (!sum) continue;
    for (const node of [linear, ...sum.adds]) claimed.add(node);
    const epilogue: Epilogue = { kind: 'add', residuals: sum.residuals };
    groups.push({ input: inputOf(linear), linears: [linear], epilogue, results: sum.adds.slice(-1) });
  }

  const plain = linears.filter((linear) => !claimed.has(linear));
  const byInput = groupBy(plain, (linear) => inputOf(linear));
  for (const [input, sharing] of byInput)
    for (const together of groupBy(sharing, keyOf).values())
      groups.push({ input, linears: together, epilogue: { kind: 'none' }, results: together });
  return groups;
}

/** mul(activation(gate), up), in either order, where nothing else looks inside. */
function gatedUnit(
  gate: NodeOf<'linear'>,
  uses: Uses,
): { up: NodeOf<'linear'>; activation: NodeOf<Activation>; result: Node } | undefined {
  const activation = uses.onlyReader(gate);
  if (!activation || !isActivation(activation)) return undefined;
  const result = uses.onlyReader(activation);
  if (result?.op !== 'mul') return undefined;
  const up = result.inputs.find((input) => input !== activation);
  if (up?.op !== 'linear' || uses.onlyReader(up) !== result) return undefined;
  return inputOf(up) === inputOf(gate) ? { up, activation, result } : undefined;
}

/** The chain of sums that a linear flows into: add(residual, linear), and on while nothing else reads what has been summed. */
function residualSum(
  linear: NodeOf<'linear'>,
  uses: Uses,
  claimed: ReadonlySet<Node>,
): { adds: Node[]; residuals: Node[] } | undefined {
  const adds: Node[] = [];
  const residuals: Node[] = [];
  let sum: Node = linear;
  for (let reader = uses.onlyReader(sum); reader?.op === 'add' && !claimed.has(reader); reader = uses.onlyReader(sum)) {
    const other = reader.inputs.find((input) => input !== sum);
    if (!other) break;
    residuals.push(other);
    adds.push(reader);
    sum = reader;
  }
  return adds.length > 0 ? { adds, residuals } : undefined;
}
