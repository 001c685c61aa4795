import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What is neither weights nor config.json, and is as true of a quantized copy. */
const companions =
  /^(tokenizer.*\.(json|model)|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt)|merges\.txt|generation_config\.json|chat_template\.(json|jinja)|(LICENSE|NOTICE).*)$/;

/** The files that go along with the weights of a folder. */
export function companionsOfFolder(path: string, names: ReadonlySet<string>): Map<string, Uint8Array> {
  const files = [...names].filter((name) => companions.test(name)).toSorted();
  return new Map(files.map((name) => [name, readFileSync(join(path, name))]));
}
