import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DiskFullError, OutputError } from '../errors.ts';
import { LOCK } from './lock.ts';

/** Runs a file operation; what the system says comes out as a typed error about `path`. */
export async function guard<Result>(path: string, operation: () => Promise<Result>): Promise<Result> {
  try {
    return await operation();
  } catch (error) {
    throw translate(path, error);
  }
}

function translate(path: string, error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code === 'ENOSPC' || code === 'EDQUOT') return new DiskFullError(path, undefined, undefined, { cause: error });
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
    return new OutputError(path, `this cannot be written (${code}). Choose another output folder.`, { cause: error });
  if (code === 'ENOTDIR') return new OutputError(path, 'a part of this path is a file.', { cause: error });
  return error;
}

export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Empties a folder but for its lock. */
export async function clear(folder: string): Promise<void> {
  for (const name of await readdir(folder))
    if (name !== LOCK) await rm(join(folder, name), { recursive: true, force: true });
}
