import { components, type ComponentJson } from '../../tokenizer/tokenizer-json.ts';

// Regular expressions that split a text into words before byte pairs are merged, by the names in `tokenizer.ggml.pre`.
// They are those of the models' own tokenizer.json files.

const gpt2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+`;
const llama3 =
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|` +
  `\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const qwen2 = llama3.replace('\\p{N}{1,3}', '\\p{N}');
const word = (first: string, rest: string): string =>
  `[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]${first}[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]${rest}`;
const contraction = `(?i:'s|'t|'re|'ve|'m|'ll|'d)?`;
const gpt4o =
  `${word('*', '+')}${contraction}|${word('+', '*')}${contraction}|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|` +
  `\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const tekken = `${word('*', '+')}|${word('+', '*')}|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const punctuation = '[\\p{P}\\$\\+<=>\\^~\\|]+';
const table: readonly (readonly [names: readonly string[], patterns: readonly string[]])[] = [
  [['gpt-2', 'gpt2', 'mpt', 'olmo', 'jais', 'phi-2', 'roberta-bpe', 'gigachat', 'exaone4', 'trillion'], [gpt2]],
  [['default'], [punctuation, gpt2, '\\p{N}+', '[0-9][0-9][0-9]']],
  [
    ['smollm', 'starcoder', 'refact', 'command-r', 'codeshell', 'exaone', 'minerva-7b'],
    ['\\p{N}', gpt2],
  ],
  [['falcon'], [punctuation, gpt2, '[0-9][0-9][0-9]']],
  [['llama-bpe', 'llama3', 'llama-v3', 'falcon3', 'pixtral', 'dbrx', 'smaug-bpe', 'chatglm-bpe', 'lfm2'], [llama3]],
  [['qwen2', 'stablelm2', 'deepseek-r1-qwen', 'megrez', 'hunyuan', 'qwen35'], [qwen2]],
  [['gpt-4o', 'llama4', 'kanana2'], [gpt4o]],
  [['tekken'], [tekken]],
  [['bloom', 'poro-chat', 'gpt3-finnish'], [' ?[^(\\s|.,!?…。，、।۔،)]+']],
  [['viking'], [' ?[^(\\s|.,!?…。，、।۔،)]+', '\\p{N}']],
];

const patternsByName: ReadonlyMap<string, readonly string[]> = new Map(
  table.flatMap(([names, patterns]) => names.map((name) => [name, patterns] as const)),
);

/** Names whose tokenizers take a word that is in the vocabulary as it is, without merging. */
export const ignoresMerges: ReadonlySet<string> = new Set([
  'llama-bpe',
  'llama3',
  'llama-v3',
  'falcon3',
  'pixtral',
  'tekken',
  'gpt-4o',
  'llama4',
]);

export const preTokenizerNames: readonly string[] = [...patternsByName.keys()];

/** The pre-tokenizer of a name, as in tokenizer.json; undefined for one that is not known. */
export function preTokenizer(name: string): ComponentJson | undefined {
  const patterns = patternsByName.get(name);
  if (!patterns) return undefined;
  return {
    type: 'Sequence',
    pretokenizers: [
      ...patterns.map((Regex) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false })),
      { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
    ],
  };
}

/** The name of a pre-tokenizer with a byte level, as tokenizer.json files have it; undefined where GGUF has none. */
export function preTokenizerName(json: ComponentJson | null): string | undefined {
  const patterns = components(json, 'pretokenizers').flatMap((step): string[] => {
    if (step.type === 'Digits') return [step['individual_digits'] === true ? '\\p{N}' : '\\p{N}+'];
    if (step.type === 'Split') return [String((step['pattern'] as { Regex?: unknown } | undefined)?.Regex)];
    return step.type === 'ByteLevel' && step['use_regex'] !== false ? [gpt2] : [];
  });
  return table.find(
    ([, known]) => known.length === patterns.length && known.every((pattern, i) => pattern === patterns[i]),
  )?.[0][0];
}
