import { width, type BufferDescription, type Node } from '@llm/tensor';

import type { Stages } from './schedule.ts';

/** Kernels write whole blocks of 32 columns, and rows begin at cache lines. */
const alignment = 32;

export interface MemoryPlan {
  readonly buffers: readonly BufferDescription[];
  /** Index into `buffers` of each value. */
  readonly bufferOf: ReadonlyMap<Node, number>;
  /** Values that could not take over the memory of what they change in place, so that it has to be copied first. */
  readonly copied: ReadonlySet<Node>;
  /** Floats per token of the arena. */
  readonly tokenFloats: number;
  /** Floats per output, which come after those of tokens: fewer rows of them are in memory at once. */
  readonly outputFloats: number;
  /** What the two would be together if no values shared memory. */
  readonly sumFloats: number;
}

/** Memory that one value, or several that replace each other, need from one stage to another. */
interface Span {
  readonly nodes: Node[];
  readonly floats: number;
  readonly first: number;
  last: number;
  offset: number;
}

/**
 * Gives every value a place in the arena. A place is free again in the stage after the last one that reads it; within a stage
 * nothing is reused, since its instructions may run at the same time. The largest values are placed first, each as low as
 * it fits: the greedy-by-size plan of Pisarchyk and Lee (2020, "Efficient Memory Management for Deep Neural Net Inference").
 * `results` live to the end.
 */
export function planMemory(stages: Stages, results: readonly Node[]): MemoryPlan {
  const lastUses = findLastUses(stages, results);
  const spanOf = new Map<Node, Span>();
  const spans: Span[] = [];
  const copied = new Set<Node>();
  let sumFloats = 0;

  for (const [stage, operations] of stages.entries())
    for (const { writes, replaces, mayReplace = [] } of operations) {
      const candidates = replaces ? [replaces] : mayReplace;
      for (const node of writes) {
        const floats = Math.ceil(width(node.shape) / alignment) * alignment;
        const last = lastUses.get(node)?.stage ?? stage;
        const old = candidates.find((candidate) => {
          const use = lastUses.get(candidate);
          const dies = use?.stage === stage && use.readers === 1 && spanOf.get(candidate)?.last === stage;
          return dies && sameRows(candidate, node);
        });
        const span = old && spanOf.get(old);
        if (span) {
          span.nodes.push(node);
          span.last = last;
          spanOf.set(node, span);
          if (!replaces) sumFloats += floats;
        } else {
          if (replaces) copied.add(node);
          const fresh: Span = { nodes: [node], floats, first: stage, last, offset: 0 };
          spans.push(fresh);
          spanOf.set(node, fresh);
          sumFloats += floats;
        }
      }
    }

  const outputs = spans.filter(isOutput);
  const tokenFloats = place(
    spans.filter((span) => !isOutput(span)),
    0,
  );
  const end = place(outputs, tokenFloats);
  const nodes = spans.flatMap((span) => span.nodes).sort((a, b) => a.id - b.id);
  return {
    buffers: nodes.map((node) => ({
      name: nameOf(node),
      width: width(node.shape),
      offset: spanOf.get(node)?.offset ?? 0,
      rows: isOutputRow(node) ? 'outputs' : 'tokens',
    })),
    bufferOf: new Map(nodes.map((node, index) => [node, index])),
    copied,
    tokenFloats,
    outputFloats: end - tokenFloats,
    sumFloats,
  };
}

/** The last stage that reads a value, and how many of its operations do. */
function findLastUses(stages: Stages, results: readonly Node[]): Map<Node, { stage: number; readers: number }> {
  const uses = new Map<Node, { stage: number; readers: number }>();
  for (const [stage, operations] of stages.entries())
    for (const { reads } of operations)
      for (const node of reads) {
        const known = uses.get(node);
        uses.set(node, { stage, readers: known?.stage === stage ? known.readers + 1 : 1 });
      }
  for (const node of results) uses.set(node, { stage: stages.length, readers: 1 });
  return uses;
}

function isOutput({ nodes: [node] }: Span): boolean {
  return node !== undefined && isOutputRow(node);
}

function isOutputRow(node: Node): boolean {
  return node.shape[0] === 'O';
}

/** Chooses offsets from `begin` on and returns the end of the highest span. */
function place(spans: readonly Span[], begin: number): number {
  const placed: Span[] = [];
  for (const span of spans.toSorted((a, b) => b.floats - a.floats)) {
    span.offset = begin;
    const neighbours = placed.filter((other) => other.first <= span.last && span.first <= other.last);
    for (const other of neighbours.sort((a, b) => a.offset - b.offset)) {
      if (span.offset + span.floats <= other.offset) break;
      span.offset = Math.max(span.offset, other.offset + other.floats);
    }
    placed.push(span);
  }
  return Math.max(begin, ...placed.map((span) => span.offset + span.floats));
}

function sameRows(a: Node, b: Node): boolean {
  return a.shape[0] === b.shape[0] && width(a.shape) === width(b.shape);
}

function nameOf(node: Node): string {
  const block = node.block === undefined ? '' : `block ${node.block} `;
  return node.op === 'linear' ? node.attributes.name : `${block}${node.op} ${node.id}`;
}
