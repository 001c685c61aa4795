import { CorruptFileError, DownloadError } from '../errors.ts';
import type { Repository } from './repository.ts';
import type { HubSettings } from './settings.ts';

/** Attempts per request, and the pause before the second one; it doubles with every further one. */
const ATTEMPTS = 5;
const FIRST_PAUSE_MS = 300;

/** What a revision is at the moment. */
export interface RepositoryState {
  readonly commit: string;
  readonly files: readonly string[];
}

/** What a server says about a file. */
export interface RemoteFile {
  readonly name: string;
  readonly url: string;
  /** The name of the blob: SHA-256 of large files, git's SHA-1 of small ones. */
  readonly etag: string;
  /** In bytes; undefined if the server does not say. */
  readonly size: number | undefined;
}

/** Asks the hub. Requests that fail for reasons that pass are repeated; the token is sent to the hub alone. */
export class HubClient {
  readonly #settings: HubSettings;
  readonly #signal: AbortSignal | undefined;

  constructor(settings: HubSettings, signal?: AbortSignal) {
    this.#settings = settings;
    this.#signal = signal;
  }

  async state({ name, revision }: Repository): Promise<RepositoryState> {
    const url = `${this.#settings.endpoint}/api/models/${name}/revision/${encodeURIComponent(revision)}`;
    const response = await this.request(url);
    const body = (await response.json().catch(() => undefined)) as { sha?: unknown; siblings?: unknown } | undefined;
    const siblings = Array.isArray(body?.siblings) ? (body.siblings as { rfilename?: unknown }[]) : undefined;
    const commit = body?.sha;
    if (!siblings || typeof commit !== 'string' || !/^[0-9a-f]{40}$/u.test(commit)) {
      throw new DownloadError(url, response.status, 'the answer is not the description of a model');
    }
    return { commit, files: siblings.map(({ rfilename }) => checkFileName(url, rfilename)) };
  }

  async file({ name }: Repository, commit: string, file: string): Promise<RemoteFile> {
    const path = file.split('/').map(encodeURIComponent).join('/');
    const url = `${this.#settings.endpoint}/${name}/resolve/${commit}/${path}`;
    // Large files are elsewhere, and their headers here: the redirect is not followed.
    const response = await this.request(url, { method: 'HEAD', redirect: 'manual' });
    const header = (key: string): string | undefined => response.headers.get(key) ?? undefined;
    const etag = (header('x-linked-etag') ?? header('etag'))?.replace(/^W\//u, '').replaceAll('"', '');
    if (etag === undefined || !/^[\w.-]+$/u.test(etag) || etag.startsWith('.')) {
      throw new DownloadError(url, response.status, 'the server does not say which version of the file it has');
    }
    const redirected = response.status >= 300;
    const size = Number(header('x-linked-size') ?? (redirected ? undefined : header('content-length')));
    return { name: file, url, etag, size: Number.isSafeInteger(size) ? size : undefined };
  }

  /** An answer with a status below 400. Throws `DownloadError`, or the signal's reason. */
  async request(url: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.#settings.token !== undefined) headers.set('authorization', `Bearer ${this.#settings.token}`);
    for (let attempt = 1; ; attempt++) {
      this.#signal?.throwIfAborted();
      const failure = await fetch(url, { ...init, headers, signal: this.#signal ?? null }).then(
        (response) => (response.status < 400 ? response : statusError(url, response)),
        (cause: unknown) => {
          this.#signal?.throwIfAborted();
          return new DownloadError(url, 0, 'the server cannot be reached. Is there a network?', { cause });
        },
      );
      if (failure instanceof Response) return failure;
      const passing = failure.status === 0 || failure.status === 429 || failure.status >= 500;
      if (!passing || attempt === ATTEMPTS) throw failure;
      await pause(FIRST_PAUSE_MS * 2 ** (attempt - 1), this.#signal);
    }
  }
}

/** Waits, unless the signal aborts first. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener('abort', abort, { once: true });
  });
}

function statusError(url: string, response: Response): DownloadError {
  const { status } = response;
  const reasons: Readonly<Record<number, string>> = {
    401: 'the hub wants to know who asks. Is the name right? For a private or gated model set HF_TOKEN.',
    403: 'this token may not read it. Accept the terms of the model on its page, or use another HF_TOKEN.',
    404: 'there is no such model, revision or file.',
    429: 'the server has had too many requests from here. Wait a little.',
  };
  return new DownloadError(url, status, reasons[status] ?? `the server answers with status ${status}.`);
}

/** A relative path that stays in its folder, whatever the server says. */
function checkFileName(url: string, name: unknown): string {
  const parts = typeof name === 'string' ? name.split('/') : [];
  const sound = parts.length > 0 && parts.every((part) => part !== '' && part !== '.' && part !== '..');
  if (sound && !/[\\:\0]/u.test(name as string)) return name as string;
  throw new CorruptFileError(url, 0, `it lists a file ${JSON.stringify(name)}`);
}
