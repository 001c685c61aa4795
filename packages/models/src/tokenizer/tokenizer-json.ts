/** The parts of Hugging Face's tokenizer.json that are read or written here. */
export interface TokenizerJson {
  readonly version?: string;
  readonly added_tokens: readonly AddedTokenJson[];
  readonly normalizer: ComponentJson | null;
  readonly pre_tokenizer: ComponentJson | null;
  readonly post_processor: ComponentJson | null;
  readonly decoder: ComponentJson | null;
  readonly model: ComponentJson;
}

export interface AddedTokenJson {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  readonly single_word: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
}

/** A normalizer, pre-tokenizer, post-processor, decoder or model: a type and its own keys. */
export interface ComponentJson {
  readonly type: string;
  readonly [key: string]: unknown;
}

/** The components of a `Sequence`, or the one component itself. */
export function components(json: ComponentJson | null, list: string): ComponentJson[] {
  if (json === null) return [];
  if (json.type !== 'Sequence') return [json];
  const inner = json[list];
  return Array.isArray(inner) ? inner.flatMap((item) => components(item as ComponentJson, list)) : [];
}

/** A post-processor that puts special tokens in front of a text and behind it. */
export function surround(
  before: readonly { readonly content: string; readonly id: number }[],
  after: readonly { readonly content: string; readonly id: number }[],
): ComponentJson {
  const special = ({ content }: { readonly content: string }): unknown => ({
    SpecialToken: { id: content, type_id: 0 },
  });
  const text = (name: string): unknown[] => [
    ...before.map(special),
    { Sequence: { id: name, type_id: 0 } },
    ...after.map(special),
  ];
  return {
    type: 'TemplateProcessing',
    single: text('A'),
    pair: [...text('A'), ...text('B')],
    special_tokens: Object.fromEntries(
      [...before, ...after].map(({ content, id }) => [content, { id: content, ids: [id], tokens: [content] }]),
    ),
  };
}
