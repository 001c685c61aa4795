import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { demoModel } from '../../../../tools/test/shared-data.mjs';

// A pseudo-terminal from Python's standard library, which a source build needs anyway: waits for what the program prints,
// then types the next keys.
const driver = `
import os, pty, select, sys, time, json
steps = json.loads(sys.argv[1]); child, fd = pty.fork()
if child == 0: os.execvp(sys.argv[2], sys.argv[2:])
seen = ''; start = 0
def read(seconds):
    global seen
    if not select.select([fd], [], [], seconds)[0]: return False
    try: data = os.read(fd, 65536)
    except OSError: return None
    seen += data.decode('utf8', 'replace')
    return bool(data) or None
for wanted, keys in steps:
    deadline = time.time() + 90
    while wanted not in seen[start:] and time.time() < deadline:
        if read(1) is None: break
    start = len(seen)
    os.write(fd, keys.encode())
while read(30): pass
sys.stdout.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
`;

const withPython = spawnSync('python3', ['-c', 'import pty']).status === 0 ? test : test.skip;
const main = join(import.meta.dirname, '../main.ts');
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'llm-chat-'));
  cpSync(demoModel(), folder, { recursive: true });
  change('tokenizer_config.json', { chat_template: '{% for message in messages %}{{ message.content }} {% endfor %}' });
  // It must not end before it is stopped.
  change('config.json', { eos_token_id: 0 });
  change('generation_config.json', { eos_token_id: 0 });
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function change(name: string, values: Readonly<Record<string, unknown>>): void {
  const file = join(folder, name);
  const before = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  writeFileSync(file, JSON.stringify({ ...before, ...values }));
}

/** What a person sees who waits for each text and then types the keys after it. */
function chat(
  steps: readonly (readonly [wait: string, keys: string])[],
  ...args: string[]
): { code: number; seen: string } {
  const hook = join(import.meta.dirname, '../../../../tools/test/register-typescript.mjs');
  const command = [process.execPath, '--conditions=@llm/source', '--import', hook, main, 'chat', folder, ...args];
  const { status, stdout, stderr } = spawnSync('python3', ['-c', driver, JSON.stringify(steps), ...command], {
    encoding: 'utf8',
    env: {
      ...process.env,
      NODE_OPTIONS: '',
      NO_COLOR: '1',
      LLM_CHAT_HISTORY: join(folder, 'history'),
      TERM: 'xterm',
      LLM_ISA: 'scalar',
    },
  });
  expect(stderr).toBe('');
  return { code: status ?? -1, seen: stdout };
}

withPython('Ctrl-C stops an answer and the conversation goes on; a second conversation has its history', () => {
  const up = '\u001b[A';
  const first = chat(
    [
      ['> ', 'Once upon a time\r'],
      ['Lily', '\u0003'],
      ['(stopped)', '/stats\r'],
      ['prompt tokens', '/nonsense\r'],
      ['There is no /nonsense', '"""\r'],
      ['… ', 'a block\r'],
      ['… ', '\u0003'],
      ['> ', '/exit\r'],
    ],
    ...['--max-tokens', '450', '--threads', '1'],
  );
  expect(first.code).toBe(0);
  const history = readFileSync(join(folder, 'history'), 'utf8').split('\n');
  expect(history).toEqual(expect.arrayContaining(['Once upon a time', '/stats', '/exit']));

  const second = chat([
    ['> ', `${up}${up}`],
    ['/', '\u0015/exit\r'],
  ]);
  expect(second.code).toBe(0);
  expect(second.seen).toContain('a block');
});

withPython('Ctrl-D leaves', () => {
  expect(chat([['> ', '\u0004']])).toMatchObject({ code: 0 });
});
