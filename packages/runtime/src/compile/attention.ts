import type { HeadSlice, Node, NodeOf, RopeAttributes } from '@llm/tensor';

import { UnsupportedGraphError } from '../errors.ts';
import { adjacentHeads, headLayout, type HeadLayout } from './heads.ts';
import { inputOf } from './inputs.ts';
import { describeNorm, isNorm, type NormNode } from './norms.ts';
import type { Operation } from './operation.ts';
import type { Uses } from './uses.ts';
import type { Weights } from './weights.ts';

/** Where attention finds the heads of q, k or v, and what it does to them first. */
interface Heads {
  readonly source: Node;
  readonly layout: HeadLayout;
  readonly rope: RopeAttributes | undefined;
  readonly norm: NormNode | undefined;
}

/** Attention with the norm of each head, the rotation and the cache write inside, reading heads where a linear left them. */
export function attentionOperation(node: NodeOf<'attention'>, uses: Uses, weights: Weights): Operation {
  const { heads, kvHeads, headDim, scale, layer, window, softcap, alibi } = node.attributes;
  const q = findHeads(inputOf(node, 0), headDim, uses, heads / kvHeads);
  const k = findHeads(inputOf(node, 1), headDim, uses);
  const v = findHeads(inputOf(node, 2), headDim, uses);
  const { rope } = q;
  if (!sameRotation(rope, k.rope) || v.rope || v.norm)
    throw new UnsupportedGraphError(
      `attention of layer ${layer}`,
      'q and k must be rotated alike, and v neither rotated nor normalised',
    );

  return {
    reads: [...new Set([q.source, k.source, v.source])],
    writes: [node],
    lower: ({ buffer, ropeTable }) => {
      const slice = ({ source, layout }: Heads): HeadSlice => ({ buffer: buffer(source), ...layout });
      return {
        op: 'attention',
        layer,
        heads,
        kvHeads,
        q: slice(q),
        k: slice(k),
        v: slice(v),
        out: { buffer: buffer(node), ...adjacentHeads(headDim) },
        scale,
        ...(rope && { rope: { table: ropeTable(rope), style: rope.style } }),
        ...(q.norm && { queryNorm: describeNorm(q.norm, weights) }),
        ...(k.norm && { keyNorm: describeNorm(k.norm, weights) }),
        ...(window !== undefined && { window }),
        ...(softcap !== undefined && { softcap }),
        ...(alibi && { alibi: Float32Array.from(alibi) }),
      };
    },
  };
}

/** Walks up through rotation, head norm and choice of channels, as far as attention alone reads them. */
function findHeads(node: Node, headDim: number, uses: Uses, grouped = 1): Heads {
  let source = node;
  let rope: RopeAttributes | undefined;
  let norm: NormNode | undefined;
  if (source.op === 'rope' && uses.onlyReader(source)) {
    rope = source.attributes;
    source = inputOf(source);
  }
  if (isNorm(source) && source.attributes.perHead === headDim && uses.onlyReader(source)) {
    norm = source;
    source = inputOf(source);
  }
  // A choice of channels is free to read, whoever else reads it.
  const channels = channelsOf(source);
  const layout = channels && headLayout(channels.list, headDim, grouped);
  return channels && layout
    ? { source: channels.source, layout, rope, norm }
    : { source, layout: adjacentHeads(headDim), rope, norm };
}

/** The channels of the first node upstream that is more than a choice of channels. */
function channelsOf(node: Node): { source: Node; list: Int32Array } | undefined {
  if (node.op !== 'take') return undefined;
  const source = inputOf(node);
  const below = channelsOf(source);
  const { channels } = node.attributes;
  return below ? { source: below.source, list: channels.map((c) => below.list[c] ?? c) } : { source, list: channels };
}

function sameRotation(a: RopeAttributes | undefined, b: RopeAttributes | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
