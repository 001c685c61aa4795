import { sentencePieceComponents, sentencePieceDecoder, SPACE } from '../../tokenizer/sentencepiece-bpe.ts';
import {
  surround,
  type AddedTokenJson,
  type ComponentJson,
  type TokenizerJson,
} from '../../tokenizer/tokenizer-json.ts';
import type { SentencePieceModel } from './model.ts';

/** The tokenizer.json that says the same as a SentencePiece model; a begin token is put in front if there is one. */
export function tokenizerJsonFromSentencePiece(model: SentencePieceModel): TokenizerJson {
  const added_tokens = model.pieces.flatMap(({ text, kind }, id): AddedTokenJson[] => {
    if (kind !== 'control' && kind !== 'user-defined' && kind !== 'unknown') return [];
    const special = kind !== 'user-defined';
    return [{ id, content: text, special, single_word: false, lstrip: false, rstrip: false, normalized: false }];
  });
  const bos = model.pieces[model.bosId]?.text;
  const post_processor = bos === undefined ? null : surround([{ content: bos, id: model.bosId }], []);
  const parts = model.kind === 'bpe' ? bytePairs(model) : unigram(model);
  return { version: '1.0', added_tokens, ...parts, post_processor };
}

type Parts = Pick<TokenizerJson, 'normalizer' | 'pre_tokenizer' | 'decoder' | 'model'>;

function bytePairs(model: SentencePieceModel): Parts {
  const pieces = model.pieces.map(({ text, score, kind }) => {
    return { text, score, mergeable: kind === 'normal' || kind === 'user-defined' };
  });
  const parts = sentencePieceComponents(pieces, {
    unknownToken: model.pieces[model.unknownId]?.text ?? null,
    addSpacePrefix: model.addSpacePrefix,
  });
  const table = normalizationTable(model);
  if (!table) return parts;
  return { ...parts, normalizer: { type: 'Sequence', normalizers: [table, parts.normalizer] } };
}

function unigram(model: SentencePieceModel): Parts {
  const table = normalizationTable(model);
  const normalizers: ComponentJson[] = table ? [table] : [];
  if (model.removeExtraSpaces) {
    normalizers.push({ type: 'Strip', strip_left: true, strip_right: true });
    normalizers.push({ type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' });
  }
  const prepend_scheme = model.addSpacePrefix ? 'always' : 'never';
  const decoder: ComponentJson = model.byteFallback
    ? sentencePieceDecoder(model.addSpacePrefix)
    : { type: 'Metaspace', replacement: SPACE, prepend_scheme };
  return {
    normalizer: normalizers.length === 0 ? null : { type: 'Sequence', normalizers },
    pre_tokenizer: { type: 'Metaspace', replacement: SPACE, prepend_scheme },
    decoder,
    model: {
      type: 'Unigram',
      unk_id: model.unknownId,
      byte_fallback: model.byteFallback,
      vocab: model.pieces.map(({ text, score }) => [text, score]),
    },
  };
}

/** SentencePiece's replacements (mostly NFKC), unless there are none. */
function normalizationTable({ normalizationTable: table }: SentencePieceModel): ComponentJson | undefined {
  if (table.length === 0) return undefined;
  return { type: 'Precompiled', precompiled_charsmap: Buffer.from(table).toString('base64') };
}
