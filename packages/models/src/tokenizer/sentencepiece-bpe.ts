import type { ComponentJson, TokenizerJson } from './tokenizer-json.ts';

/** One entry of a SentencePiece vocabulary; its place is its id. */
export interface Piece {
  readonly text: string;
  /** Higher is merged earlier. */
  readonly score: number;
  /** Whether merges may make it: not for control tokens and single bytes. */
  readonly mergeable: boolean;
}

export interface SentencePieceOptions {
  readonly unknownToken: string | null;
  /** Put a space in front of a text, so that its first word looks like the others. */
  readonly addSpacePrefix: boolean;
}

/** How SentencePiece writes a space. */
export const SPACE = '▁';

/**
 * A SentencePiece vocabulary of the BPE kind as parts of a tokenizer.json. SentencePiece merges the neighbours whose union has
 * the highest score; the merge list says the same: every way to make a piece of two others, by falling score.
 */
export function sentencePieceComponents(
  pieces: readonly Piece[],
  options: SentencePieceOptions,
): Pick<TokenizerJson, 'normalizer' | 'pre_tokenizer' | 'decoder' | 'model'> {
  const ids = new Map<string, number>();
  pieces.forEach(({ text }, id) => {
    if (!ids.has(text)) ids.set(text, id);
  });
  return {
    normalizer: normalizer(options.addSpacePrefix),
    pre_tokenizer: null,
    decoder: sentencePieceDecoder(options.addSpacePrefix),
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: options.unknownToken,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: Object.fromEntries(ids),
      merges: merges(pieces, ids),
    },
  };
}

function normalizer(addSpacePrefix: boolean): ComponentJson {
  const replace = { type: 'Replace', pattern: { String: ' ' }, content: SPACE };
  return addSpacePrefix ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: SPACE }, replace] } : replace;
}

/** Spaces back, bytes together, and the space in front away where one was put there. */
export function sentencePieceDecoder(addSpacePrefix: boolean): ComponentJson {
  const decoders: ComponentJson[] = [
    { type: 'Replace', pattern: { String: SPACE }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
  ];
  if (addSpacePrefix) decoders.push({ type: 'Strip', content: ' ', start: 1, stop: 0 });
  return { type: 'Sequence', decoders };
}

function merges(pieces: readonly Piece[], ids: ReadonlyMap<string, number>): [string, string][] {
  const found: { left: string; right: string; score: number; leftId: number; rightId: number }[] = [];
  for (const { text, score, mergeable } of pieces) {
    if (!mergeable) continue;
    let end = 0;
    for (const character of text) {
      end += character.length;
      if (end === text.length) break;
      const left = text.slice(0, end);
      const right = text.slice(end);
      const leftId = ids.get(left);
      const rightId = ids.get(right);
      if (leftId === undefined || rightId === undefined) continue;
      found.push({ left, right, score, leftId, rightId });
    }
  }
  found.sort((a, b) => b.score - a.score || a.leftId - b.leftId || a.rightId - b.rightId);
  return found.map(({ left, right }) => [left, right]);
}
