import { isActivation, mostPrecise, type Activation, type LinearCompute, type Node, type NodeOf } from '@llm/tensor';

import { groupBy } from './group-by.ts';
import { weightOf } from './inputs.ts';
import { linearUnits, unitInput, type LinearUnit } from './linear-units.ts';
import type { Uses } from './uses.ts';
import { isDense, preparationKey, type Weights } from './weights.ts';

/** What follows a linear inside its instruction, and the node whose value then comes out. */
export type Epilogue =
  | { readonly kind: 'none' }
  | { readonly kind: 'add'; readonly residuals: readonly Node[] }
  | { readonly kind: 'activation'; readonly activation: Activation }
  | { readonly kind: 'gated'; readonly activation: Activation }
  | { readonly kind: 'clamp'; readonly min: number; readonly max: number };

/** Linears that run as one instruction, since they read the same input. */
export interface LinearGroup {
  readonly input: Node;
  /** Gate before up where the epilogue is gated. */
  readonly units: readonly LinearUnit[];
  readonly compute: LinearCompute;
  readonly epilogue: Epilogue;
  /** The node that each part's result belongs to; one only where the epilogue is gated. */
  readonly results: readonly Node[];
}

/**
 * Groups the linears of a graph by what can run together: the gate and up of a gated unit, then whatever reads the same input
 * with nothing after it (q, k and v), each of the others with its activation or its residual sum.
 */
export function groupLinears(uses: Uses, weights: Weights, asked: LinearCompute | undefined): readonly LinearGroup[] {
  const units = linearUnits(uses, weights);
  const unitOf = new Map(units.map((unit) => [unit.result, unit]));
  const compute = computes(units, weights, asked);
  const keyOf = (unit: LinearUnit): string => preparationKey(weights.format(weightOf(unit.linear, 1)), compute(unit));
  const claimed = new Set<Node>();
  const groups: LinearGroup[] = [];
  const add = (members: readonly LinearUnit[], epilogue: Epilogue, results: readonly Node[]): void => {
    const [first] = members;
    if (!first) return;
    for (const { result } of members) claimed.add(result);
    for (const result of results) claimed.add(result);
    groups.push({ input: unitInput(first), units: members, compute: compute(first), epilogue, results });
  };

  for (const gate of units) {
    const gated = gatedUnit(gate, unitOf, uses);
    if (gated && keyOf(gate) === keyOf(gated.up))
      add([gate, gated.up], { kind: 'gated', activation: gated.activation.op }, [gated.result]);
  }

  // From the last to the first, so that of two linears that are added to each other the later one takes the sum.
  for (const unit of units.toReversed()) {
    if (claimed.has(unit.result)) continue;
    const reader = uses.onlyReader(unit.result);
    if (reader && isActivation(reader)) {
      add([unit], { kind: 'activation', activation: reader.op }, [reader]);
      continue;
    }
    if (reader?.op === 'clamp') {
      add([unit], { kind: 'clamp', ...reader.attributes }, [reader]);
      continue;
    }
    const sum = residualSum(unit.result, uses, claimed);
    if (!sum) continue;
    for (const node of sum.adds) claimed.add(node);
    add([unit], { kind: 'add', residuals: sum.residuals }, sum.adds.slice(-1));
  }

  const plain = units.filter(({ result }) => !claimed.has(result));
  for (const sharing of groupBy(plain, unitInput).values())
    for (const together of groupBy(sharing, keyOf).values())
      add(
        together,
        { kind: 'none' },
        together.map(({ result }) => result),
      );
  return groups;
}

/**
 * The arithmetic of each linear: what was `asked` for all packed weights, else what the model says, else int8. Those with packed
 * weights that read the same input have one, the most precise of all that they want, so that q, k and v, or gate and up, stay one
 * instruction over one prepared input. Dense weights are multiplied as float32.
 */
function computes(
  units: readonly LinearUnit[],
  weights: Weights,
  asked: LinearCompute | undefined,
): (unit: LinearUnit) => LinearCompute {
  const formatOf = ({ linear }: LinearUnit): ReturnType<Weights['format']> => weights.format(weightOf(linear, 1));
  const packed = units.filter((unit) => !isDense(formatOf(unit)));
  const shared = new Map(
    [...groupBy(packed, unitInput)].map(([input, readers]) => [
      input,
      mostPrecise(readers.map((unit) => asked ?? formatOf(unit).compute ?? 'int8')),
    ]),
  );
  return (unit) => (isDense(formatOf(unit)) ? 'f32' : (shared.get(unitInput(unit)) ?? 'int8'));
}

/** mul(activation(gate), up), in either order, where nothing else looks inside. */
function gatedUnit(
  gate: LinearUnit,
  unitOf: ReadonlyMap<Node, LinearUnit>,
  uses: Uses,
): { up: LinearUnit; activation: NodeOf<Activation>; result: Node } | undefined {
  const activation = uses.onlyReader(gate.result);
  if (!activation || !isActivation(activation)) return undefined;
  const result = uses.onlyReader(activation);
  if (result?.op !== 'mul') return undefined;
  const other = result.inputs.find((input) => input !== activation);
  const up = other && unitOf.get(other);
  if (!up || uses.onlyReader(up.result) !== result) return undefined;
  return unitInput(up) === unitInput(gate) ? { up, activation, result } : undefined;
}

/** The chain of sums that a value flows into: add(residual, value), and on while nothing else reads what has been summed. */
function residualSum(
  value: Node,
  uses: Uses,
  claimed: ReadonlySet<Node>,
): { adds: Node[]; residuals: Node[] } | undefined {
  const adds: Node[] = [];
  const residuals: Node[] = [];
  let sum = value;
  for (let reader = uses.onlyReader(sum); reader?.op === 'add' && !claimed.has(reader); reader = uses.onlyReader(sum)) {
    const other = reader.inputs.find((input) => input !== sum);
    // Positions are added in place, by an instruction of their own.
    if (!other || other.op === 'positionEmbed') break;
    residuals.push(other);
    adds.push(reader);
    sum = reader;
  }
  return adds.length > 0 ? { adds, residuals } : undefined;
}
