import { surround, type TokenizerJson } from './tokenizer-json.ts';

/**
 * Applies `add_bos_token` and `add_eos_token` of tokenizer_config.json. The classes of single models rebuild their
 * post-processor from them; the general class leaves them alone, and tokenizer.json alone counts.
 */
export function withConfiguredTokens(json: TokenizerJson, config: Readonly<Record<string, unknown>>): TokenizerJson {
  const { add_bos_token: addBos, add_eos_token: addEos, tokenizer_class: name } = config;
  const general = typeof name !== 'string' || name === 'PreTrainedTokenizerFast' || name === 'TokenizersBackend';
  if (general || (typeof addBos !== 'boolean' && typeof addEos !== 'boolean')) return json;
  const token = (key: string): { content: string; id: number }[] => {
    const value = config[key];
    const content = typeof value === 'object' && value !== null ? (value as { content?: unknown }).content : value;
    const id = typeof content === 'string' ? tokenId(json, content) : undefined;
    return id === undefined ? [] : [{ content: content as string, id }];
  };
  const before = addBos === true ? token('bos_token') : [];
  const after = addEos === true ? token('eos_token') : [];
  if (before.length + after.length === 0) return { ...json, post_processor: withoutTemplate(json) };
  return { ...json, post_processor: surround(before, after) };
}

/** The post-processor, unless it is one that adds tokens. */
function withoutTemplate(json: TokenizerJson): TokenizerJson['post_processor'] {
  const type = json.post_processor?.type;
  return type === 'TemplateProcessing' || type === 'Sequence' ? null : json.post_processor;
}

function tokenId(json: TokenizerJson, content: string): number | undefined {
  const added = json.added_tokens.find((token) => token.content === content);
  if (added) return added.id;
  const vocabulary = json.model['vocab'];
  if (typeof vocabulary !== 'object' || vocabulary === null || !Object.hasOwn(vocabulary, content)) return undefined;
  return (vocabulary as Record<string, number>)[content];
}
