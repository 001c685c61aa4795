import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ChecksumMismatchError, DownloadError, ModelNotFoundError } from '../errors.ts';
import { openCheckpoint } from '../open-checkpoint.ts';
import { cachedSnapshot, pull } from './pull.ts';

const commit = 'c'.repeat(40);
const weights = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7919) % 251));
const files: Record<string, Buffer> = {
  'config.json': Buffer.from('{"model_type":"nothing"}'),
  'model.safetensors': weights,
  'sub/notes.json': Buffer.from('{}'),
};

let home: string;
let server: Server;
let requests: string[];
let behave: (request: IncomingMessage, response: ServerResponse) => boolean;
const before = { ...process.env };

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'llm-hub-'));
  requests = [];
  behave = () => false;
  server = createServer((request, response) => {
    requests.push(`${request.method ?? ''} ${request.url ?? ''} ${request.headers.range ?? ''}`.trim());
    if (!behave(request, response)) serve(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  Object.assign(process.env, { HF_ENDPOINT: `http://127.0.0.1:${port}/`, HF_HOME: home, HF_TOKEN: 'secret' });
  for (const name of ['HF_HUB_CACHE', 'HF_HUB_OFFLINE']) Reflect.deleteProperty(process.env, name);
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(home, { recursive: true });
  process.env = { ...before };
});

function serve(request: IncomingMessage, response: ServerResponse): void {
  const url = request.url ?? '';
  if (url.startsWith('/api/models/owner/name/revision/')) {
    const siblings = Object.keys(files).map((rfilename) => ({ rfilename }));
    response.end(JSON.stringify({ sha: commit, siblings }));
    return;
  }
  const prefix = `/owner/name/resolve/${commit}/`;
  const content = url.startsWith(prefix) ? files[url.slice(prefix.length)] : undefined;
  if (!content) {
    response.writeHead(404).end();
    return;
  }
  sendFile(request, response, content, etagOf(content));
}

function sendFile(request: IncomingMessage, response: ServerResponse, content: Buffer, etag: string): void {
  const start = Number(/bytes=(\d+)-/u.exec(request.headers.range ?? '')?.[1] ?? 0);
  response.writeHead(start > 0 ? 206 : 200, {
    etag: `"${etag}"`,
    'content-length': content.length - start,
    ...(start > 0 && { 'content-range': `bytes ${start}-${content.length - 1}/${content.length}` }),
  });
  if (request.method === 'HEAD') response.end();
  else response.end(content.subarray(start));
}

function etagOf(content: Buffer): string {
  if (content === weights) return createHash('sha256').update(content).digest('hex');
  return createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
}

function isWeights(request: IncomingMessage, method = 'GET'): boolean {
  return request.method === method && (request.url ?? '').endsWith('model.safetensors');
}

test('lays files out as the hub cache has them and counts bytes', async () => {
  const seen: number[] = [];
  let total = 0;
  const folder = await pull('owner/name', {
    onProgress: (progress) => {
      seen.push(progress.done);
      total = progress.total;
    },
  });
  expect(folder).toBe(join(home, 'hub/models--owner--name/snapshots', commit));
  expect(readdirSync(folder).sort()).toEqual(['config.json', 'model.safetensors']);
  expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
  expect(readlinkSync(join(folder, 'model.safetensors'))).toBe(`../../blobs/${etagOf(weights)}`);
  expect(readFileSync(join(home, 'hub/models--owner--name/refs/main'), 'utf8')).toBe(commit);
  expect(seen.at(-1)).toBe(total);
  expect(total).toBe(weights.length + (files['config.json'] as Buffer).length);
});

test('fetches nothing twice, and nothing at all when told to be offline', async () => {
  const folder = await pull('hf:owner/name');
  requests.length = 0;
  await pull('owner/name');
  expect(requests.filter((line) => line.startsWith('GET /owner'))).toEqual([]);
  requests.length = 0;
  process.env['HF_HUB_OFFLINE'] = '1';
  expect(await pull('owner/name')).toBe(folder);
  expect(await cachedSnapshot(`owner/name@${commit}`)).toBe(folder);
  await expect(pull('owner/other')).rejects.toThrow(ModelNotFoundError);
  await expect(openCheckpoint('hf:owner/other', { download: false })).rejects.toThrow(ModelNotFoundError);
  expect(requests).toEqual([]);
});

test('takes a transfer that was cut up where it stopped', async () => {
  let cuts = 0;
  behave = (request, response) => {
    if (!isWeights(request) || cuts === 2) return false;
    cuts++;
    const start = Number(/bytes=(\d+)-/u.exec(request.headers.range ?? '')?.[1] ?? 0);
    response.writeHead(start > 0 ? 206 : 200, {
      'content-length': weights.length - start,
      ...(start > 0 && { 'content-range': `bytes ${start}-${weights.length - 1}/${weights.length}` }),
    });
    response.write(weights.subarray(start, start + 100_000), () => setTimeout(() => response.destroy(), 20));
    return true;
  };
  const folder = await pull('owner/name');
  expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
  const ranges = requests.filter((line) => line.startsWith('GET') && line.includes('model.safetensors'));
  expect(ranges.map((line) => line.split(' ')[2])).toEqual([undefined, 'bytes=100000-', 'bytes=200000-']);
});

test('takes up a transfer of an earlier process, and starts over where the server knows no ranges', async () => {
  const stop = new AbortController();
  behave = (request, response) => {
    if (!isWeights(request)) return false;
    response.writeHead(200, { 'content-length': weights.length });
    response.write(weights.subarray(0, 50_000), () =>
      setTimeout(() => {
        stop.abort(new Error('enough'));
      }, 50),
    );
    return true;
  };
  await expect(pull('owner/name', { signal: stop.signal })).rejects.toThrow('enough');
  const blobs = join(home, 'hub/models--owner--name/blobs');
  expect(readdirSync(blobs)).toContain(`${etagOf(weights)}.incomplete`);
  behave = (request, response) => {
    if (!isWeights(request)) return false;
    response.writeHead(200, { 'content-length': weights.length }).end(weights);
    return true;
  };
  const folder = await pull('owner/name');
  expect(requests.some((line) => line.endsWith('bytes=50000-'))).toBe(true);
  expect(readFileSync(join(folder, 'model.safetensors')).equals(weights)).toBe(true);
  expect(readdirSync(blobs).filter((name) => name.endsWith('.incomplete'))).toEqual([]);
});

test('throws damaged bytes away', async () => {
  const damaged = Buffer.from(weights);
  damaged[1234] = (damaged[1234] as number) ^ 1;
  behave = (request, response) => {
    if (!isWeights(request)) return false;
    sendFile(request, response, damaged, etagOf(weights));
    return true;
  };
  const failure = await pull('owner/name').catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ChecksumMismatchError);
  expect((failure as ChecksumMismatchError).expected).toBe(etagOf(weights));
  expect(readdirSync(join(home, 'hub/models--owner--name/blobs'))).not.toContain(`${etagOf(weights)}.incomplete`);
  behave = () => false;
  await pull('owner/name');
});

test.each([401, 403, 404])('names what to do about status %i', async (status) => {
  behave = (_request, response) => {
    response.writeHead(status).end();
    return true;
  };
  const failure = await pull('owner/name').catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(DownloadError);
  expect((failure as DownloadError).status).toBe(status);
  expect((failure as DownloadError).message).toContain(status === 404 ? 'no such model' : 'HF_TOKEN');
  expect(requests).toHaveLength(1);
});

test('tries again when the server is briefly unwell', async () => {
  let failures = 2;
  behave = (_request, response) => {
    if (failures-- <= 0) return false;
    response.writeHead(503).end();
    return true;
  };
  await pull('owner/name');
  expect(failures).toBeLessThan(0);
});

test('sends the token to the hub and not to where it redirects', async () => {
  const tokens: (string | undefined)[] = [];
  const other = createServer((request, response) => {
    tokens.push(request.headers.authorization);
    response.end(weights);
  });
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const location = `http://127.0.0.1:${(other.address() as AddressInfo).port}/blob`;
  let hubToken: string | undefined;
  behave = (request, response) => {
    hubToken = request.headers.authorization;
    if (!(request.url ?? '').endsWith('model.safetensors')) return false;
    response
      .writeHead(302, { location, 'x-linked-etag': `"${etagOf(weights)}"`, 'x-linked-size': weights.length })
      .end();
    return true;
  };
  await pull('owner/name', { include: ['model.safetensors'] });
  other.closeAllConnections();
  await new Promise((resolve) => other.close(resolve));
  expect(hubToken).toBe('Bearer secret');
  expect(tokens).toEqual([undefined]);
});

test('refuses file names that lead elsewhere', async () => {
  behave = (_request, response) => {
    response.end(JSON.stringify({ sha: commit, siblings: [{ rfilename: '../../escape.json' }] }));
    return true;
  };
  await expect(pull('owner/name')).rejects.toThrow('escape.json');
});

test('wants a choice among several GGUF files', async () => {
  behave = (_request, response) => {
    response.end(JSON.stringify({ sha: commit, siblings: [{ rfilename: 'a.gguf' }, { rfilename: 'b.gguf' }] }));
    return true;
  };
  await expect(pull('owner/name')).rejects.toThrow('a.gguf, b.gguf');
});

test.each(['owner/name/more', '../up', 'owner/na me', 'owner/name@../x'])('refuses the name %s', async (name) => {
  await expect(pull(name)).rejects.toThrow('owner/name@revision');
  expect(requests).toEqual([]);
});
