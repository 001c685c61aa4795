import { writeAtomically, type ChatMessage } from '@llm/models';
import { SequenceFileError, type Sequence } from '@llm/tensor';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The part of a conversation whose tokens are known: rendered text, and the ids that stand for it. */
export interface Transcript {
  readonly text: string;
  readonly ids: readonly number[];
}

/** A session without its cache. */
export interface SavedSession {
  readonly version: 1;
  readonly ids: readonly number[];
  readonly messages: readonly ChatMessage[];
  readonly transcript?: Transcript | undefined;
}

const stateFile = 'session.json';
const cacheFile = 'cache.bin';

/** Writes the cache first, so that a folder with a state is complete. */
export async function writeSession(
  folder: string,
  state: SavedSession,
  saveCache: (path: string) => Promise<void>,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await saveCache(join(folder, cacheFile));
  await writeAtomically(join(folder, stateFile), async (file) => {
    await file.write(Buffer.from(JSON.stringify(state)));
  });
}

/** @throws {@link SequenceFileError} where state and cache are damaged or do not belong together */
export async function readSession(
  folder: string,
  restoreCache: (path: string) => Promise<Sequence>,
): Promise<{ state: SavedSession; sequence: Sequence }> {
  const path = join(folder, stateFile);
  const state = parse(path, await readFile(path, 'utf8'));
  const sequence = await restoreCache(join(folder, cacheFile));
  if (sequence.tokens().some((token, i) => token !== state.ids[i])) {
    sequence.dispose();
    throw new SequenceFileError(folder, 'its conversation and its cache are from different sessions');
  }
  return { state, sequence };
}

function parse(path: string, text: string): SavedSession {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (!isSession(value)) throw new SequenceFileError(path, 'it is damaged');
  return value;
}

function isSession(value: unknown): value is SavedSession {
  if (!isObject(value) || value['version'] !== 1 || !isIds(value['ids'])) return false;
  const [messages, transcript] = [value['messages'], value['transcript']];
  const isMessage = (message: unknown): boolean =>
    isObject(message) && typeof message['role'] === 'string' && typeof message['content'] === 'string';
  const isTranscript = isObject(transcript) && typeof transcript['text'] === 'string' && isIds(transcript['ids']);
  return Array.isArray(messages) && messages.every(isMessage) && (transcript === undefined || isTranscript);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isIds(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((id) => Number.isSafeInteger(id) && Number(id) >= 0);
}
