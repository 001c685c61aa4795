import { NoFileSystemError } from './errors.ts';

/** Reads a Blob at once, not later. Only workers have it. */
interface BlobReader {
  readAsArrayBuffer(blob: Blob): ArrayBuffer;
}

/** One file that a page has handed over. */
export interface VirtualFile {
  readonly size: number;
  /** `length` bytes from `offset` on, which are inside. */
  read(offset: number, length: number): Uint8Array;
}

/** Folders by path, files by name. */
const folders = new Map<string, ReadonlyMap<string, VirtualFile>>();
const descriptors = new Map<number, VirtualFile>();
let lastFolder = 0;
let lastDescriptor = 2;

/** Returns the path of a new folder. */
export function addFolder(files: ReadonlyMap<string, VirtualFile>): string {
  const path = `/files/${String(++lastFolder)}`;
  folders.set(path, files);
  return path;
}

export function removeFolder(path: string): void {
  folders.delete(path);
}

export function fromBytes(bytes: Uint8Array): VirtualFile {
  return { size: bytes.byteLength, read: (offset, length) => bytes.subarray(offset, offset + length) };
}

/** Reads parts when they are wanted where that is possible, in workers; else all of it at once, now. */
export async function fromBlob(blob: Blob): Promise<VirtualFile> {
  const Reader = (globalThis as { FileReaderSync?: new () => BlobReader }).FileReaderSync;
  if (Reader === undefined) return fromBytes(new Uint8Array(await blob.arrayBuffer()));
  const reader = new Reader();
  return {
    size: blob.size,
    read: (offset, length) => new Uint8Array(reader.readAsArrayBuffer(blob.slice(offset, offset + length))),
  };
}

/** What of node:fs the readers of models use, on these files. */
export interface Status {
  readonly size: number;
  isFile(): boolean;
  isDirectory(): boolean;
}

export function statSync(path: string): Status {
  if (folders.has(path)) return { size: 0, isFile: () => false, isDirectory: () => true };
  return statusOf(find(path));
}

export function existsSync(path: string): boolean {
  return folders.has(path) || lookUp(path) !== undefined;
}

export function readdirSync(path: string): string[] {
  const folder = folders.get(path);
  if (folder === undefined) throw missing(path);
  return [...folder.keys()];
}

export function openSync(path: string): number {
  descriptors.set(++lastDescriptor, find(path));
  return lastDescriptor;
}

export function fstatSync(descriptor: number): Status {
  return statusOf(opened(descriptor));
}

export function readSync(
  descriptor: number,
  target: Uint8Array,
  at: number,
  length: number,
  position: number | null,
): number {
  const file = opened(descriptor);
  const offset = position ?? 0;
  const count = Math.max(0, Math.min(length, file.size - offset));
  target.set(file.read(offset, count), at);
  return count;
}

export function closeSync(descriptor: number): void {
  descriptors.delete(descriptor);
}

export function readFileSync(path: string): Buffer;
export function readFileSync(path: string, encoding: 'utf8'): string;
export function readFileSync(path: string, encoding?: 'utf8'): Buffer | string {
  const file = find(path);
  const bytes = Buffer.from(file.read(0, file.size));
  return encoding === undefined ? bytes : bytes.toString(encoding);
}

/** There are no links. */
export function realpathSync(path: string): string {
  if (!existsSync(path)) throw missing(path);
  return path;
}

/** What would write, or read what nobody has handed over. */
const unavailable = (operation: string) => (): never => {
  throw new NoFileSystemError(operation);
};
export const createReadStream: () => never = unavailable('createReadStream');
export const mkdirSync: () => never = unavailable('mkdirSync');
export const renameSync: () => never = unavailable('renameSync');
export const rmSync: () => never = unavailable('rmSync');
export const utimesSync: () => never = unavailable('utimesSync');
export const writeFileSync: () => never = unavailable('writeFileSync');

function statusOf(file: VirtualFile): Status {
  return { size: file.size, isFile: () => true, isDirectory: () => false };
}

function opened(descriptor: number): VirtualFile {
  const file = descriptors.get(descriptor);
  if (file === undefined) throw new Error(`EBADF: file ${String(descriptor)} is not open`);
  return file;
}

function find(path: string): VirtualFile {
  const file = lookUp(path);
  if (file === undefined) throw missing(path);
  return file;
}

function lookUp(path: string): VirtualFile | undefined {
  const cut = path.lastIndexOf('/');
  return folders.get(path.slice(0, cut))?.get(path.slice(cut + 1));
}

function missing(path: string): Error {
  return Object.assign(new Error(`ENOENT: no such file or directory, open '${path}'`), { code: 'ENOENT', path });
}
