import type { Node } from '@llm/tensor';

import type { Operation } from './operation.ts';

/** Operations of one stage need nothing of each other, so that no thread has to wait between them. */
export type Stages = readonly (readonly Operation[])[];

/** Puts every operation into the earliest stage that has all it reads; in a stage they keep the order of the graph. */
export function schedule(operations: readonly Operation[]): Stages {
  const stageOf = new Map<Node, number>();
  const stages: Operation[][] = [];
  for (const operation of operations) {
    const stage = Math.max(0, ...operation.reads.map((node) => (stageOf.get(node) ?? 0) + 1));
    for (const written of operation.writes) stageOf.set(written, stage);
    (stages[stage] ??= []).push(operation);
  }
  const first = ({ writes }: Operation): number => writes[0]?.id ?? 0;
  return stages.filter((stage) => stage.length > 0).map((stage) => stage.sort((a, b) => first(a) - first(b)));
}
