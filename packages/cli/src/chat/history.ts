import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** Lines that are kept. */
export const historySize = 1000;

/**
 * Where the lines of earlier conversations are kept: LLM_CHAT_HISTORY, else the user's state folder (XDG_STATE_HOME).
 * Undefined, for none, where LLM_CHAT_HISTORY is empty.
 */
export function historyFile(environment: NodeJS.ProcessEnv = process.env): string | undefined {
  const { LLM_CHAT_HISTORY: own, XDG_STATE_HOME: state } = environment;
  if (own !== undefined) return own === '' ? undefined : own;
  return join(state ?? join(homedir(), '.local/state'), 'llm/chat-history');
}

/** The newest first, as readline has them. A history that cannot be read is an empty one. */
export function readHistory(file: string | undefined): string[] {
  if (file === undefined) return [];
  try {
    return readFileSync(file, 'utf8').split('\n').filter(Boolean).slice(-historySize).reverse();
  } catch {
    return [];
  }
}

/** For this user's eyes only. A history that cannot be written is no reason to fail. */
export function writeHistory(file: string | undefined, newestFirst: readonly string[]): void {
  if (file === undefined || newestFirst.length === 0) return;
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${newestFirst.slice(0, historySize).toReversed().join('\n')}\n`, { mode: 0o600 });
  } catch {
    return;
  }
}
