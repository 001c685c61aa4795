import { spawn, spawnSync, type ChildProcess, type ChildProcessByStdio } from 'node:child_process';
import { createRequire } from 'node:module';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { TuneReport } from '@llm/quant';
import { run } from '../run.ts';
import { connectionTo, loadBullMq, ready, WorkersError } from './bullmq.ts';

const root = fileURLToPath(new URL('../../../../', import.meta.url));

test('an address that is none, a package that is missing and a server that is silent are errors that say what to do', async () => {
  expect(() => connectionTo('localhost:6379')).toThrow(/redis:\/\/host:6379/);
  await expect(loadBullMq('bullmq-that-is-not-there')).rejects.toThrow(/npm install bullmq ioredis/);
  const silent = { waitUntilReady: () => setTimeout(1000, undefined, { ref: false }) };
  await expect(ready(silent, 'redis://nowhere', 0.01)).rejects.toThrow(WorkersError);
});

/** Why the tests below cannot run here; undefined if they can. */
function lacking(): string | undefined {
  if (spawnSync('redis-server', ['--version']).status !== 0) return 'no redis-server is installed';
  try {
    createRequire(import.meta.url).resolve('bullmq');
    return undefined;
  } catch {
    return 'bullmq is not installed';
  }
}

const reason = lacking();
const title = `trials shared out by a Redis${reason === undefined ? '' : ` (skipped: ${reason})`}`;

(reason === undefined ? describe : describe.skip)(title, () => {
  let folder: string;
  let url: string;
  let server: ChildProcess;
  const workers: Worker[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'workers-'));
    const port = await freePort();
    url = `redis://127.0.0.1:${port}`;
    const settings = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder];
    server = spawn('redis-server', settings, { stdio: 'ignore' });
  });
  afterAll(async () => {
    for (const { process } of workers) process.kill('SIGKILL');
    server.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  });

  interface Worker {
    readonly process: ChildProcessByStdio<null, Readable, Readable>;
    /** Names of trials, in the order in which it began and finished them. */
    readonly begun: string[];
    readonly finished: string[];
  }

  function startWorker(): Worker {
    const run = ['--conditions=@llm/source', '--import', './tools/test/run-typescript.mjs', 'packages/cli/src/main.ts'];
    const flags = ['tune-worker', url, '--threads', '1', '--patience', '4', '--folder', folder, '--json'];
    const env = { ...process.env, NODE_OPTIONS: '' };
    const child = spawn(process.execPath, [...run, ...flags], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const worker: Worker = { process: child, begun: [], finished: [] };
    eachLine(child.stderr, (line) => {
      if (line.endsWith(': begun')) worker.begun.push(line.slice(0, -': begun'.length));
    });
    eachLine(child.stdout, (line) => {
      worker.finished.push((JSON.parse(line) as { name: string }).name);
    });
    workers.push(worker);
    return worker;
  }

  test('two processes, one of them killed in the middle of a trial: nothing is lost, and the answer is the same', async () => {
    const text = join(folder, 'text.txt');
    await writeFile(
      text,
      'Once upon a time, there was a little girl named Lily. She loved to play with her toys. '.repeat(8),
    );
    // Some recipes lose a little of it, so that more than one is tried.
    const flags = ['tune', 'stories-llama-5m', '--perplexity', text, '--tolerance', '0', '--threads', '1', '--json'];
    const space = ['--methods', 'rtn', '--group-sizes', '256,128,64,32', '--schemes', 'sym', '--trials', '4'];

    const [first, second] = [startWorker(), startWorker()];
    const shared = tune([...flags, ...space, '-o', join(folder, 'shared'), '--workers', url, '--parallel', '4']);
    while (first.begun.length === 0 || second.begun.length === 0) await setTimeout(20);
    first.process.kill('SIGKILL');
    const report = await shared;

    const alone = await tune([...flags, ...space, '-o', join(folder, 'alone')]);
    const facts = ({ result }: TuneReport) => ({
      best: result.best.name,
      trials: result.trials.map(({ name, verdict, relativeLoss }) => ({ name, verdict, relativeLoss })),
    });
    expect(facts(report)).toEqual(facts(alone));
    expect(report.result.trials.length).toBeGreaterThan(1);
    // What the dead one had begun, the other did.
    const lost = first.begun.filter((name) => !first.finished.includes(name));
    expect(lost).toHaveLength(1);
    expect(second.finished).toEqual(expect.arrayContaining(lost));
  }, 400_000);
});

/** A run of the command in this process; its report. */
async function tune(args: readonly string[]): Promise<TuneReport> {
  let out = '';
  const notes: string[] = [];
  await run(args, {
    interactive: false,
    write: (text) => {
      out += text;
    },
    stream: () => undefined,
    note: (text) => notes.push(text),
  });
  if (out === '') throw new Error(notes.join('\n'));
  return JSON.parse(out) as TuneReport;
}

function eachLine(stream: Readable, use: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) use(line);
  });
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => probe.once('listening', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
