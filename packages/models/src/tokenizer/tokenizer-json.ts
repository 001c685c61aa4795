import { TokenizerError } from '../errors.ts';

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

/** A tokenizer.json as it was read, with what it leaves out. Throws `TokenizerError` where the parts are not of their kind. */
export function parseTokenizerJson(path: string, json: Readonly<Record<string, unknown>>): TokenizerJson {
  const component = (key: string): ComponentJson | null => {
    const value = json[key] ?? null;
    if (value === null || (isObject(value) && typeof value['type'] === 'string')) return value as ComponentJson | null;
    throw new TokenizerError(path, `its ${key} is not a component with a type`);
  };
  const model = json['model'];
  if (!isObject(model)) throw new TokenizerError(path, 'it has no model');
  const added = json['added_tokens'] ?? [];
  if (!Array.isArray(added) || !added.every(isAddedToken)) {
    throw new TokenizerError(path, 'its added_tokens are not a list of tokens with an id and a content');
  }
  return {
    added_tokens: added,
    normalizer: component('normalizer'),
    pre_tokenizer: component('pre_tokenizer'),
    post_processor: component('post_processor'),
    decoder: component('decoder'),
    // Files from before 2021 leave out the type of a byte-pair model.
    model: { type: 'BPE', ...model },
  };
}

function isAddedToken(value: unknown): value is AddedTokenJson {
  return isObject(value) && Number.isSafeInteger(value['id']) && typeof value['content'] === 'string';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
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
