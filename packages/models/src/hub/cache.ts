import { copyFile, mkdir, readFile, rm, stat, symlink } from 'node:fs/promises';
import { readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

import { WriteError } from '../errors.ts';
import { writeAtomically } from '../formats/atomic-file.ts';
import type { Repository } from './repository.ts';

const commitPattern = /^[0-9a-f]{40}$/u;

/** One model's folder in the hub's cache: `blobs` by hash, `snapshots` of links by commit, `refs` from names to commits. */
export class RepositoryCache {
  readonly folder: string;

  constructor(cache: string, name: string) {
    this.folder = join(cache, `models--${name.replaceAll('/', '--')}`);
  }

  blob(etag: string): string {
    return join(this.folder, 'blobs', etag);
  }

  snapshot(commit: string): string {
    return join(this.folder, 'snapshots', commit);
  }

  /** The commit that a revision meant when it was last fetched; undefined if it never was. */
  async commit({ revision }: Repository): Promise<string | undefined> {
    if (commitPattern.test(revision)) return revision;
    try {
      const commit = (await readFile(join(this.folder, 'refs', revision), 'utf8')).trim();
      return commitPattern.test(commit) ? commit : undefined;
    } catch {
      return undefined;
    }
  }

  async rememberCommit({ revision }: Repository, commit: string): Promise<void> {
    if (revision === commit) return;
    const path = join(this.folder, 'refs', revision);
    await makeFolder(dirname(path));
    await writeAtomically(path, (file) => file.write(new TextEncoder().encode(commit)));
  }

  /** Makes a blob appear in a snapshot under its name. */
  async link(commit: string, file: string, etag: string): Promise<void> {
    const path = join(this.snapshot(commit), file);
    await makeFolder(dirname(path));
    await rm(path, { force: true });
    try {
      await symlink(relative(dirname(path), this.blob(etag)), path);
    } catch {
      // Windows lets only some users make links.
      await copyFile(this.blob(etag), path).catch((cause: unknown) => {
        throw new WriteError(path, cause);
      });
    }
  }

  /** Whether a blob is there; blobs appear only when they are complete. */
  async hasBlob(etag: string): Promise<boolean> {
    return stat(this.blob(etag)).then(
      () => true,
      () => false,
    );
  }

  /** Whether a snapshot holds a model. */
  holdsModel(commit: string): boolean {
    try {
      const names = readdirSync(this.snapshot(commit));
      return names.some((name) => name === 'config.json' || name.endsWith('.gguf'));
    } catch {
      return false;
    }
  }
}

export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch((cause: unknown) => {
    throw new WriteError(path, cause);
  });
}
