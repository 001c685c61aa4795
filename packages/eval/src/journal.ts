import { createHash } from 'node:crypto';
import { mkdir, open, readFile, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { JournalError } from './errors.ts';
import type { DocumentScores, Request } from './tasks/task.ts';

/**
 * Scored documents on disk, one JSON line each, so that an interrupted evaluation goes on where it stopped. A document is known by
 * the model, the task and its own requests: a longer evaluation takes over what a shorter one of the same data has scored, and
 * scores of another model, data set or version of the prompts do not count.
 */
export class Journal implements AsyncDisposable {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #known: ReadonlyMap<string, DocumentScores>;

  private constructor(path: string, file: FileHandle, known: ReadonlyMap<string, DocumentScores>) {
    this.#path = path;
    this.#file = file;
    this.#known = known;
  }

  /** @throws {@link JournalError} if the file cannot be written */
  static async open(path: string): Promise<Journal> {
    try {
      await mkdir(dirname(path), { recursive: true });
      const lines = (await textOf(path).catch(() => '')).split('\n');
      const file = await open(path, 'a');
      // What a kill left must not run into the next line.
      if (lines.at(-1) !== '') await file.appendFile('\n');
      return new Journal(path, file, new Map(lines.flatMap(entryOf)));
    } catch (cause) {
      throw new JournalError(path, cause);
    }
  }

  static keyOf(modelName: string, task: string, requests: readonly Request[]): string {
    return createHash('sha256')
      .update(JSON.stringify([modelName, task, requests]))
      .digest('base64url')
      .slice(0, 22);
  }

  get(key: string): DocumentScores | undefined {
    return this.#known.get(key);
  }

  /** @throws {@link JournalError} */
  async append(key: string, score: DocumentScores): Promise<void> {
    try {
      await this.#file.appendFile(`${JSON.stringify({ key, score })}\n`);
    } catch (cause) {
      throw new JournalError(this.#path, cause);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

/** What a file holds; of a device, which may have no end, nothing is read. */
async function textOf(path: string): Promise<string> {
  return (await stat(path)).isFile() ? readFile(path, 'utf8') : '';
}

/** A line that a kill cut short is no entry: its document is scored again. */
function entryOf(line: string): [string, DocumentScores][] {
  try {
    const { key, score } = JSON.parse(line) as { key?: unknown; score?: DocumentScores };
    return typeof key === 'string' && typeof score === 'object' ? [[key, score]] : [];
  } catch {
    return [];
  }
}
