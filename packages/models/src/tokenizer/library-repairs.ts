import { byteCharacter } from './byte-characters.ts';
import { components, type ComponentJson, type TokenizerJson } from './tokenizer-json.ts';

/**
 * The same tokenizer, said in a way that the JavaScript library takes as the original library does. Its `Digits` knows ASCII
 * digits only, where the original splits at every numeric character; and it drops a byte that the vocabulary lacks after
 * merging, where the original drops it before, so that its neighbours may still merge.
 */
export function forLibrary(json: TokenizerJson): TokenizerJson {
  return { ...json, pre_tokenizer: repairPreTokenizer(json.pre_tokenizer, json.model) };
}

function repairPreTokenizer(json: ComponentJson | null, model: ComponentJson): ComponentJson | null {
  const steps = components(json, 'pretokenizers');
  const missing = steps.some(({ type }) => type === 'ByteLevel') ? missingBytes(model) : '';
  if (missing === '' && !steps.some(({ type }) => type === 'Digits')) return json;
  const repaired = steps.map((step) => (step.type === 'Digits' ? splitDigits(step) : step));
  if (missing !== '') repaired.push({ type: 'Replace', pattern: { Regex: `[${missing}]` }, content: '' });
  return { type: 'Sequence', pretokenizers: repaired };
}

function splitDigits(step: ComponentJson): ComponentJson {
  const digits = step['individual_digits'] === true ? '\\p{N}' : '\\p{N}+';
  return { type: 'Split', pattern: { Regex: digits }, behavior: 'Isolated', invert: false };
}

/** The byte characters that a vocabulary lacks, as the inside of a character class; empty where an unknown token stands in. */
function missingBytes(model: ComponentJson): string {
  const vocabulary = model['vocab'];
  if (model.type !== 'BPE' || typeof vocabulary !== 'object' || vocabulary === null) return '';
  if ((model['unk_token'] ?? null) !== null || model['byte_fallback'] === true) return '';
  return Array.from({ length: 256 }, (_, byte) => byteCharacter(byte))
    .filter((character) => !Object.hasOwn(vocabulary, character))
    .map((character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');
}
