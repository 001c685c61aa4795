import { bytesOfToken } from './byte-characters.ts';
import { components, type ComponentJson } from './tokenizer-json.ts';

/** How tokens become bytes one by one: the usual decoders of tokenizer.json, taken apart so that they can run on a stream. */
export interface DecodingPlan {
  /** The bytes of a token of the vocabulary. Added tokens stand for their own text and do not pass through here. */
  tokenBytes(token: string): Uint8Array;
  /** Spaces to drop at the start of the text. */
  readonly stripSpaces: number;
}

/** Undefined for decoders whose tokens cannot be decoded one by one (WordPiece, CTC, ...). */
export function decodingPlan(decoder: ComponentJson | null): DecodingPlan | undefined {
  const steps = components(decoder, 'decoders');
  const replacements: [string, string][] = [];
  let byteLevel = false;
  let byteFallback = false;
  let stripSpaces = 0;
  for (const step of steps) {
    const pattern = (step['pattern'] as { String?: unknown } | undefined)?.String;
    if (step.type === 'ByteLevel') byteLevel = true;
    else if (step.type === 'ByteFallback') byteFallback = true;
    else if (step.type === 'Replace' && typeof pattern === 'string') {
      replacements.push([pattern, String(step['content'])]);
    } else if (step.type === 'Metaspace') {
      replacements.push([typeof step['replacement'] === 'string' ? step['replacement'] : '▁', ' ']);
      if (step['prepend_scheme'] !== 'never' && step['add_prefix_space'] !== false) stripSpaces = 1;
    } else if (step.type === 'Strip' && step['content'] === ' ' && !step['stop']) {
      stripSpaces = Number(step['start'] ?? 0);
    } else if (step.type !== 'Fuse') return undefined;
  }
  if (steps.length === 0) return undefined;
  const encoder = new TextEncoder();
  return {
    stripSpaces,
    tokenBytes(token) {
      if (byteFallback) {
        const byte = /^<0x([0-9A-Fa-f]{2})>$/u.exec(token)?.[1];
        if (byte !== undefined) return Uint8Array.of(Number.parseInt(byte, 16));
      }
      const text = replacements.reduce((text, [from, to]) => text.replaceAll(from, to), token);
      return byteLevel ? bytesOfToken(text) : encoder.encode(text);
    },
  };
}
