import { mkdir, open, readFile, rename, rm, statfs, writeFile, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DiskFullError, OutputError } from '../errors.ts';
import { clear, exists, guard } from './disk.ts';
import { layOut, shardIndex, type OutputTensor, type Shard } from './layout.ts';
import { lockFolder } from './lock.ts';

/** The name of the journal inside an unfinished folder. */
const JOURNAL = 'progress.jsonl';

/** Finished tensors become certain (synced, then written down) after so many bytes or so much time. */
const SYNC_BYTES = 64 * 2 ** 20;
const SYNC_MILLISECONDS = 1000;

export interface OutputFolderOptions {
  /** The folder to be; it appears when {@link OutputFolder.finish} has run, and never half-written. */
  readonly path: string;
  readonly tensors: readonly OutputTensor[];
  /** Files are cut at about this size. */
  readonly shardBytes: number;
  /** Identifies source and recipe: an unfinished folder of the same ones is continued, another one is replaced. */
  readonly fingerprint: string;
}

interface JournalEntry {
  readonly name: string;
  readonly record: unknown;
}

/**
 * A model folder while it is written, as `<path>.partial`. Every tensor has its place from the start; a journal holds which
 * ones are there, so that a run that was stopped, killed or ran out of disk goes on where it was.
 */
export class OutputFolder implements AsyncDisposable {
  /** Records of the tensors that an earlier run has finished, and of those finished since. */
  readonly records: ReadonlyMap<string, unknown>;
  readonly #records: Map<string, unknown>;
  readonly #path: string;
  readonly #partial: string;
  readonly #shards: readonly Shard[];
  readonly #sizes: ReadonlyMap<string, number>;
  readonly #unlock: () => Promise<void>;
  readonly #files = new Map<Shard, FileHandle>();
  #journal: FileHandle | undefined;
  #pending: JournalEntry[] = [];
  #pendingBytes = 0;
  #synced = Date.now();

  private constructor(
    path: string,
    tensors: readonly OutputTensor[],
    shards: readonly Shard[],
    records: Map<string, unknown>,
    unlock: () => Promise<void>,
  ) {
    this.#path = path;
    this.#partial = partialPath(path);
    this.#shards = shards;
    this.#sizes = new Map(tensors.map(({ name, byteLength }) => [name, byteLength]));
    this.#records = records;
    this.records = records;
    this.#unlock = unlock;
  }

  /**
   * Starts or continues a folder.
   * @throws {@link OutputError} if the folder is there already or another process is writing it
   * @throws {@link DiskFullError} if it cannot fit
   */
  static async open({ path, tensors, shardBytes, fingerprint }: OutputFolderOptions): Promise<OutputFolder> {
    if (await exists(path))
      throw new OutputError(path, 'this exists already. Remove it, or choose another output folder.');
    const partial = partialPath(path);
    await guard(partial, () => mkdir(partial, { recursive: true }));
    const unlock = await lockFolder(partial);
    try {
      const shards = layOut(tensors, shardBytes);
      const known = await readJournal(join(partial, JOURNAL), fingerprint);
      if (!known) await clear(partial);
      const folder = new OutputFolder(path, tensors, shards, known ?? new Map<string, unknown>(), unlock);
      try {
        await folder.#start(fingerprint, known === undefined);
        return folder;
      } catch (error) {
        await folder.#close();
        throw error;
      }
    } catch (error) {
      await unlock();
      throw error;
    }
  }

  /** Writes part of a tensor, `position` bytes from its start. */
  async write(name: string, bytes: Uint8Array, position = 0): Promise<void> {
    const { file, offset } = this.#place(name);
    await guard(this.#path, async () => {
      let written = 0;
      while (written < bytes.length) {
        const at = offset + position + written;
        written += (await file.write(bytes, written, bytes.length - written, at)).bytesWritten;
      }
    });
    this.#pendingBytes += bytes.length;
  }

  /** Reads a tensor back. */
  async read(name: string): Promise<Uint8Array> {
    const { file, offset, byteLength } = this.#place(name);
    const bytes = new Uint8Array(byteLength);
    let done = 0;
    while (done < byteLength) {
      const { bytesRead } = await file.read(bytes, done, byteLength - done, offset + done);
      if (bytesRead === 0) throw new OutputError(this.#path, `the tensor ${name} is cut short.`);
      done += bytesRead;
    }
    return bytes;
  }

  /** A tensor is complete. `record` is given back by {@link records} when the run is continued; it has to survive JSON. */
  async complete(name: string, record: unknown): Promise<void> {
    this.#records.set(name, record);
    this.#pending.push({ name, record });
    if (this.#pendingBytes >= SYNC_BYTES || Date.now() - this.#synced >= SYNC_MILLISECONDS) await this.sync();
  }

  /** Makes everything that was completed survive a crash of the machine. */
  async sync(): Promise<void> {
    const entries = this.#pending;
    if (entries.length === 0) return;
    await guard(this.#path, async () => {
      for (const file of this.#files.values()) await file.datasync();
      await this.#journal?.appendFile(entries.map((entry) => JSON.stringify(entry) + '\n').join(''));
      await this.#journal?.datasync();
    });
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#synced = Date.now();
  }

  /** Adds the other files (name to content) and makes the folder appear under its name. */
  async finish(files: ReadonlyMap<string, string | Uint8Array>): Promise<void> {
    await this.sync();
    await guard(this.#path, async () => {
      if (this.#shards.length > 1)
        await writeFile(join(this.#partial, 'model.safetensors.index.json'), JSON.stringify(shardIndex(this.#shards)));
      for (const [name, content] of files) await writeFile(join(this.#partial, name), content);
    });
    await this.#close();
    await rm(join(this.#partial, JOURNAL), { force: true });
    await this.#unlock();
    if (await exists(this.#path))
      throw new OutputError(this.#path, `this appeared meanwhile. The result is complete in ${this.#partial}.`);
    await rename(this.#partial, this.#path);
  }

  /** Stops without finishing; what is complete stays for the next run. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#journal) return;
    try {
      await this.sync();
    } finally {
      await this.#close();
      await this.#unlock();
    }
  }

  #place(name: string): { readonly file: FileHandle; readonly offset: number; readonly byteLength: number } {
    const shard = this.#shards.find((candidate) => candidate.offsets.has(name));
    const offset = shard?.offsets.get(name);
    const file = shard && this.#files.get(shard);
    const byteLength = this.#sizes.get(name);
    if (!file || offset === undefined || byteLength === undefined)
      throw new OutputError(this.#path, `the tensor ${name} was not planned.`);
    return { file, offset, byteLength };
  }

  async #start(fingerprint: string, fresh: boolean): Promise<void> {
    const total = this.#shards.reduce((sum, shard) => sum + shard.byteLength, 0);
    await guard(this.#path, async () => {
      if (fresh) {
        const { bavail, bsize } = await statfs(this.#partial);
        if (bavail * bsize < total) throw new DiskFullError(this.#path, total, bavail * bsize);
      }
      for (const shard of this.#shards) {
        const file = await open(join(this.#partial, shard.file), fresh ? 'w' : 'r+');
        this.#files.set(shard, file);
        if (!fresh) continue;
        await file.write(shard.header, 0, shard.header.length, 0);
        await file.truncate(shard.byteLength);
        await file.datasync();
      }
      // Last, because a journal says that the files are there.
      this.#journal = await open(join(this.#partial, JOURNAL), 'a');
      if (fresh) await this.#journal.appendFile(JSON.stringify({ fingerprint }) + '\n');
    });
  }

  async #close(): Promise<void> {
    for (const file of this.#files.values()) await file.close();
    this.#files.clear();
    await this.#journal?.close();
    this.#journal = undefined;
  }
}

/** Where a folder is while it is unfinished. */
export function partialPath(path: string): string {
  return join(dirname(path), `${basename(path)}.partial`);
}

/** The finished tensors of an earlier run, or undefined if there are none for this fingerprint. */
async function readJournal(file: string, fingerprint: string): Promise<Map<string, unknown> | undefined> {
  if (!(await exists(file))) return undefined;
  // A line that a crash cut short is not valid JSON: it and what follows did not happen.
  const [first, ...lines] = (await readFile(file, 'utf8')).split('\n');
  if ((parseLine(first) as { fingerprint?: string } | undefined)?.fingerprint !== fingerprint) return undefined;
  const records = new Map<string, unknown>();
  for (const line of lines) {
    const entry = parseLine(line) as Partial<JournalEntry> | undefined;
    if (typeof entry?.name !== 'string') break;
    records.set(entry.name, entry.record);
  }
  return records;
}

function parseLine(line: string | undefined): unknown {
  try {
    return JSON.parse(line ?? '');
  } catch {
    return undefined;
  }
}
