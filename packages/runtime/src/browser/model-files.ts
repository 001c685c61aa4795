import { InvalidModelFilesError } from './errors.ts';
import { addFolder, fromBlob, fromBytes, removeFolder, type VirtualFile } from './virtual-files.ts';

/** A file of a model: as a page gets it from a file dialog or a drop, or bytes that it has fetched. */
export interface ModelFile {
  /** Folders in front of it, as in `webkitRelativePath`, are left out. */
  readonly name: string;
  readonly data: Blob | Uint8Array;
}

/** Files that `Model.load` finds under a path. Their bytes stay where they are until they are read. */
export class MountedFiles implements Disposable {
  /** For `Model.load`: of the .gguf file, or of the folder. */
  readonly path: string;
  readonly #folder: string;

  /** @internal */
  constructor(folder: string, path: string) {
    this.#folder = folder;
    this.path = path;
  }

  /** Forgets the files. A loaded model needs them no more. */
  [Symbol.dispose](): void {
    removeFolder(this.#folder);
  }
}

/**
 * Makes the files of one model readable under a path, in browsers as elsewhere. In a worker parts of a Blob are read when
 * they are wanted; a page's own thread cannot do that, and reads all of it at once.
 *
 * @example
 * using files = await mountFiles(input.files);
 * const model = await Model.load(files.path);
 * @throws {@link InvalidModelFilesError} if there is neither one .gguf file nor a config.json
 */
export async function mountFiles(files: Iterable<File | ModelFile>): Promise<MountedFiles> {
  const folder = new Map<string, VirtualFile>();
  for (const file of files) {
    const name = file.name.slice(file.name.lastIndexOf('/') + 1);
    if (name.startsWith('.')) continue; // of the system, such as .DS_Store
    if (folder.has(name))
      throw new InvalidModelFilesError([name], `Two files are called ${name}: these are several folders.`);
    const data = 'data' in file ? file.data : file;
    folder.set(name, data instanceof Uint8Array ? fromBytes(data) : await fromBlob(data));
  }
  const names = [...folder.keys()];
  const gguf = names.filter((name) => name.endsWith('.gguf'));
  if (!folder.has('config.json') && gguf.length !== 1) {
    const reason =
      names.length === 0 ? 'There are no files.' : `Among ${names.slice(0, 8).join(', ')} there is no model.`;
    throw new InvalidModelFilesError(names, gguf.length > 1 ? 'There are several .gguf files.' : reason);
  }
  const path = addFolder(folder);
  return new MountedFiles(path, folder.has('config.json') ? path : `${path}/${String(gguf[0])}`);
}
