import { isChannelScale, width, type Instruction, type Node, type NodeOf } from '@llm/tensor';

import { UnsupportedGraphError } from '../errors.ts';
import { inputOf, weightOf } from './inputs.ts';
import { describeNorm, type NormNode } from './norms.ts';
import type { Operation } from './operation.ts';
import type { Uses } from './uses.ts';
import type { Weights } from './weights.ts';

export function embedOperation(node: NodeOf<'embed'>, weights: Weights): Operation {
  return {
    reads: [],
    writes: [node],
    lower: ({ buffer }) => ({
      op: 'embed',
      table: weights.matrix(weightOf(node, 1)),
      out: buffer(node),
      ...node.attributes,
    }),
  };
}

/** A sum of two values; of a value and the table of positions, which is added in place. */
export function addOperation(node: NodeOf<'add'>, uses: Uses, weights: Weights): Operation {
  const [a, b] = [inputOf(node, 0), inputOf(node, 1)];
  const positions = [a, b].find((input) => input.op === 'positionEmbed' && uses.onlyReader(input));
  if (positions?.op === 'positionEmbed') {
    const value = positions === a ? b : a;
    const { offset } = positions.attributes;
    return {
      reads: [value],
      writes: [node],
      replaces: value,
      lower: ({ buffer }) => ({
        op: 'positions',
        table: weights.matrix(weightOf(positions, 1)),
        offset,
        out: buffer(node),
      }),
    };
  }
  return binary(node, 'add');
}

/** A product of two values, or of one with a factor for each channel. */
export function mulOperation(node: NodeOf<'mul'>, weights: Weights): Operation {
  if (!isChannelScale(node)) return binary(node, 'mul');
  const input = inputOf(node);
  return {
    reads: [input],
    writes: [node],
    lower: ({ buffer }) => ({ op: 'norm', in: buffer(input), out: buffer(node), norm: describeNorm(node, weights) }),
  };
}

export function normOperation(node: NormNode, weights: Weights): Operation {
  const input = inputOf(node);
  const { perHead } = node.attributes;
  if (perHead === undefined)
    return {
      reads: [input],
      writes: [node],
      lower: ({ buffer }) => ({ op: 'norm', in: buffer(input), out: buffer(node), norm: describeNorm(node, weights) }),
    };
  const heads = width(node.shape) / perHead;
  return {
    reads: [input],
    writes: [node],
    replaces: input,
    lower: ({ buffer }) => ({
      op: 'headNorm',
      heads,
      slice: { buffer: buffer(node), column: 0, headStride: perHead },
      norm: describeNorm(node, weights),
    }),
  };
}

/** Operators that work on each row alone, with nothing to fuse. */
export function rowOperation(node: Node): Operation {
  const input = inputOf(node);
  const writes = [node];
  switch (node.op) {
    case 'silu':
    case 'gelu':
    case 'geluTanh':
    case 'relu': {
      const { op } = node;
      return unary(node, (from, out) => ({ op, in: from, out }));
    }
    case 'scale': {
      const { factor } = node.attributes;
      return unary(node, (from, out) => ({ op: 'scale', in: from, out, factor }));
    }
    case 'softcap': {
      const { cap } = node.attributes;
      return unary(node, (from, out) => ({ op: 'softcap', in: from, out, cap }));
    }
    case 'clamp': {
      const { min, max } = node.attributes;
      return unary(node, (from, out) => ({ op: 'clamp', in: from, out, min, max }));
    }
    case 'take': {
      const { channels } = node.attributes;
      return {
        reads: [input],
        writes,
        lower: ({ buffer }) => ({ op: 'take', in: buffer(input), out: buffer(node), channels }),
      };
    }
    case 'lastTokens':
      return {
        reads: [input],
        writes,
        lower: ({ buffer }) => ({ op: 'outputs', in: buffer(input), out: buffer(node) }),
      };
    default:
      throw new UnsupportedGraphError(`${node.op} (node ${node.id})`, 'it has no instruction of its own');
  }
}

function unary(node: Node, lower: (from: number, out: number) => Instruction): Operation {
  const input = inputOf(node);
  return {
    reads: [input],
    writes: [node],
    mayReplace: [input],
    lower: ({ buffer }) => lower(buffer(input), buffer(node)),
  };
}

function binary(node: Node, op: 'add' | 'mul'): Operation {
  const [a, b] = [inputOf(node, 0), inputOf(node, 1)];
  return {
    reads: [...new Set([a, b])],
    writes: [node],
    mayReplace: [a, b],
    lower: ({ buffer }) => ({ op, a: buffer(a), b: buffer(b), out: buffer(node) }),
  };
}
