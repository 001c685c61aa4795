import { readFile } from 'node:fs/promises';
import { FileAccessError } from '@llm/tensor';

/** The text of a file that the user named. @throws {@link FileAccessError} */
export async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new FileAccessError(path, (cause as Error).message, { cause });
  }
}
