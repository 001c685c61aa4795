import type { LinearInstruction, LinearPart, Node } from '@llm/tensor';

import { weightOf } from './inputs.ts';
import type { LinearUnit } from './linear-units.ts';
import type { LinearGroup } from './linears.ts';
import { describeNorm, foldedNorm, foldedSum } from './norms.ts';
import type { Operation } from './operation.ts';
import type { Uses } from './uses.ts';
import type { Weights } from './weights.ts';

/** The instruction of a group of linears, with the norm of its input where that is nobody else's. */
export function linearOperation(group: LinearGroup, uses: Uses, weights: Weights, keep: ReadonlySet<Node>): Operation {
  const { epilogue, units, compute, results } = group;
  const folded = keep.has(group.input) ? undefined : foldedNorm(group.input, uses);
  const before = folded?.input ?? group.input;
  const linears = units.map(({ linear }) => linear);
  // A linear that adds to its result might add the very sum that it makes; results of the graph are wanted without a head.
  const sum = epilogue.kind === 'add' || keep.has(before) ? undefined : foldedSum(before, linears, folded?.norm, uses);
  const input = sum?.input ?? before;
  const residuals = epilogue.kind === 'add' ? epilogue.residuals : [];
  return {
    reads: [...new Set([input, ...(sum?.residual ? [sum.residual] : []), ...residuals])],
    writes: sum ? [...results, sum.result] : results,
    // Threads that normalise the input for themselves read all of it while others already write results.
    mayReplace: residuals.filter((residual) => residual !== input),
    lower: ({ buffer }, joins = false): LinearInstruction => ({
      op: 'linear',
      in: buffer(input),
      ...(joins && { joins }),
      ...(sum && {
        sum: {
          ...(sum.norm && { norm: describeNorm(sum.norm, weights) }),
          ...(sum.residual && { residual: buffer(sum.residual) }),
          out: buffer(sum.result),
        },
      }),
      ...(folded && { norm: describeNorm(folded.norm, weights) }),
      compute: { type: compute },
      parts: units.map((unit, index) => ({
        ...describePart(unit, weights),
        // Of a gated unit only the first part has a place of its own, which the second names too.
        out: { buffer: buffer(results[Math.min(index, results.length - 1)] ?? input), column: 0 },
      })),
      epilogue: epilogue.kind === 'add' ? { kind: 'add', residuals: residuals.map(buffer) } : epilogue,
    }),
  };
}

function describePart({ linear, rows }: LinearUnit, weights: Weights): Omit<LinearPart, 'out'> {
  const bias = linear.inputs[2] && weights.vector(weightOf(linear, 2));
  return {
    name: linear.attributes.name,
    weight: weights.matrix(weightOf(linear, 1), rows),
    ...(bias && { bias: rows ? bias.subarray(rows.begin, rows.end) : bias }),
  };
}
