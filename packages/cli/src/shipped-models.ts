import { fileURLToPath } from 'node:url';

/** Models inside this package, by name. */
const shipped: Readonly<Record<string, string>> = {
  'stories-llama-5m': fileURLToPath(new URL('../models/stories-llama-5m', import.meta.url)),
};

/** The path of a model that ships with the command; any other source stays what it is. */
export function modelSource(name: string): string {
  return shipped[name] ?? name;
}

export const shippedModelNames: readonly string[] = Object.keys(shipped);
