import type { LinearCompute, Node } from '@llm/tensor';

import { attentionOperation } from './attention.ts';
import { linearOperation } from './linear-operation.ts';
import { groupLinears } from './linears.ts';
import type { Operation } from './operation.ts';
import { addOperation, embedOperation, mulOperation, normOperation, rowOperation } from './single-operations.ts';
import { Uses } from './uses.ts';
import type { Weights } from './weights.ts';

/**
 * Covers the graph with native instructions, as few as the patterns allow, and only what `results` need. Patterns look at
 * operators and at who reads what; none knows a model. A node that no pattern takes becomes an instruction of its own.
 */
export function fuse(
  results: readonly Node[],
  weights: Weights,
  compute: LinearCompute | undefined,
): readonly Operation[] {
  const uses = new Uses(results);
  const keep = new Set(results);
  const producer = new Map<Node, Operation>();
  for (const group of groupLinears(uses, weights, compute)) {
    const operation = linearOperation(group, uses, weights, keep);
    for (const node of operation.writes) producer.set(node, operation);
  }

  const operations: Operation[] = [];
  const done = new Set<Node>();
  const require = (node: Node): void => {
    if (done.has(node)) return;
    const operation = producer.get(node) ?? single(node, uses, weights);
    for (const written of operation.writes) done.add(written);
    for (const read of operation.reads) require(read);
    operations.push(operation);
  };
  for (const result of results) require(result);
  return operations;
}

/** The instruction for one node alone. */
function single(node: Node, uses: Uses, weights: Weights): Operation {
  switch (node.op) {
    case 'attention':
      return attentionOperation(node, uses, weights);
    case 'embed':
      return embedOperation(node, weights);
    case 'add':
      return addOperation(node, uses, weights);
    case 'mul':
      return mulOperation(node, weights);
    case 'rmsNorm':
    case 'layerNorm':
      return normOperation(node, weights);
    default:
      return rowOperation(node);
  }
}
