import { InvalidConfigError } from './errors.ts';

/** The sampling that the authors of a model recommend, from generation_config.json. Absent where they say nothing. */
export interface GenerationConfig {
  /** 0 where they turn sampling off. */
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly maxTokens?: number;
}

const keys = {
  temperature: 'temperature',
  topP: 'top_p',
  topK: 'top_k',
  minP: 'min_p',
  repetitionPenalty: 'repetition_penalty',
  maxTokens: 'max_new_tokens',
} as const;

/** Throws `InvalidConfigError` for a value that is not a number. */
export function parseGenerationConfig(path: string, json: Readonly<Record<string, unknown>>): GenerationConfig {
  const config: { -readonly [key in keyof GenerationConfig]: number } = {};
  for (const [name, key] of Object.entries(keys) as [keyof GenerationConfig, string][]) {
    const value = json[key] ?? undefined;
    if (value === undefined) continue;
    if (typeof value !== 'number' || !(value >= 0)) {
      throw new InvalidConfigError(path, key, `${JSON.stringify(value)} is not a number of at least 0`);
    }
    config[name] = value;
  }
  if (json['do_sample'] === false) config.temperature = 0;
  return config;
}

/** One id or several, as the `..._token_id` keys allow. Throws `InvalidConfigError`. */
export function tokenIds(path: string, json: Readonly<Record<string, unknown>>, key: string): readonly number[] {
  const value = json[key] ?? [];
  const ids: unknown[] = Array.isArray(value) ? value : [value];
  if (ids.every((id) => Number.isSafeInteger(id) && (id as number) >= 0)) return ids as number[];
  throw new InvalidConfigError(path, key, `${JSON.stringify(value)} is neither a token id nor a list of them`);
}
