import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Where what can be made again is kept between processes: `LLM_CACHE`, or `llm` in the user's folder for caches
 * (`XDG_CACHE_HOME`, `~/.cache`).
 */
export function cacheFolder(environment: Readonly<Record<string, string | undefined>> = process.env): string {
  const { LLM_CACHE, XDG_CACHE_HOME } = environment;
  if (LLM_CACHE) return LLM_CACHE;
  return join(XDG_CACHE_HOME ? XDG_CACHE_HOME : join(homedir(), '.cache'), 'llm');
}
