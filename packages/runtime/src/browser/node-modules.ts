// What the packages use of Node's modules, for bundles for browsers: node:path for paths of virtual files, and functions
// that say what is missing where there is nothing to do.
import { NoFileSystemError } from './errors.ts';

// node:path
export function join(...parts: string[]): string {
  const names: string[] = [];
  for (const name of parts.join('/').split('/')) {
    if (name === '..') names.pop();
    else if (name !== '' && name !== '.') names.push(name);
  }
  return (parts[0]?.startsWith('/') ? '/' : '') + names.join('/');
}

export function dirname(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

export function basename(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

export function relative(from: string, to: string): string {
  return to.startsWith(`${from}/`) ? to.slice(from.length + 1) : to;
}

// node:fs/promises
const unavailable = (operation: string) => (): Promise<never> => Promise.reject(new NoFileSystemError(operation));
export const copyFile: () => Promise<never> = unavailable('copyFile');
export const mkdir: () => Promise<never> = unavailable('mkdir');
export const open: () => Promise<never> = unavailable('open');
export const readFile: () => Promise<never> = unavailable('readFile');
export const rename: () => Promise<never> = unavailable('rename');
export const rm: () => Promise<never> = unavailable('rm');
export const stat: () => Promise<never> = unavailable('stat');
export const symlink: () => Promise<never> = unavailable('symlink');
export const writeFile: () => Promise<never> = unavailable('writeFile');

// node:crypto
export function createHash(): never {
  throw new NoFileSystemError('saving and checking files');
}

export function randomUUID(): string {
  return crypto.randomUUID();
}

// node:os
export function availableParallelism(): number {
  return (globalThis as { navigator?: { hardwareConcurrency?: number } }).navigator?.hardwareConcurrency ?? 1;
}

export function cpus(): readonly { readonly model: string }[] {
  return [];
}

export function homedir(): string {
  return '/';
}

// node:worker_threads
export const threadId = 0;

// node:url
export function fileURLToPath(url: URL | string): string {
  return new URL(url).pathname;
}

// node:util
export const types = {
  isNativeError: (value: unknown): value is Error => value instanceof Error,
};

/** What of Node's process the packages ask for. */
interface BrowserProcess {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly platform: string;
  readonly arch: string;
  readonly pid: number;
  readonly versions: Readonly<Record<string, string>>;
  emitWarning(): void;
}

/** Instead of the global: no variables, so that every setting has its default. WebAssembly is no second choice here. */
export const process: BrowserProcess = {
  env: {},
  platform: 'browser',
  arch: 'wasm32',
  pid: 0,
  versions: {},
  emitWarning: () => undefined,
};
