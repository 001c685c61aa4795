import { spawnSync } from 'node:child_process';
import { expect, test } from '@jest/globals';
import { run } from '../run.ts';

async function script(shell: string): Promise<string> {
  let out = '';
  const code = await run(['completion', shell], {
    interactive: false,
    write: (text) => void (out += `${text}\n`),
    stream: (text) => void (out += text),
    note: (text) => void (out += text),
  });
  expect(code).toBe(0);
  return out;
}

const has = (shell: string): boolean => spawnSync(shell, ['-c', 'true']).status === 0;
const withShell = (shell: string): typeof test.skip => (has(shell) ? test : test.skip);

/** What bash offers for the last of these words. */
function bash(completion: string, words: readonly string[]): string[] {
  const set = `COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}`;
  const { stdout, stderr } = spawnSync(
    'bash',
    ['-c', `${completion}\n${set}; _llm; printf '%s\\n' "\${COMPREPLY[@]}"`],
    {
      encoding: 'utf8',
      cwd: import.meta.dirname,
    },
  );
  expect(stderr).toBe('');
  return stdout.split('\n').filter(Boolean);
}

withShell('bash')('bash completes commands, options, their values, models and files', async () => {
  const completion = await script('bash');
  expect(bash(completion, ['llm', 'q'])).toEqual(['quantize']);
  expect(bash(completion, ['llm', 'run', '--temp'])).toEqual(['--temperature']);
  expect(bash(completion, ['llm', 'run', '--compute', ''])).toEqual(['int8', 'bf16', 'f32']);
  expect(bash(completion, ['llm', 'run', 'stor'])).toEqual(['stories-llama-5m']);
  expect(bash(completion, ['llm', 'eval', 'x', '--perplexity', 'fish'])).toEqual(['fish.ts']);
  expect(bash(completion, ['llm', 'completion', ''])).toEqual(expect.arrayContaining(['bash', 'zsh', 'fish']));
});

withShell('fish')('fish completes them with descriptions', async () => {
  const completion = await script('fish');
  const ask = (line: string): string =>
    spawnSync('fish', ['--no-config', '-c', `${completion}\ncomplete -C '${line}'`], { encoding: 'utf8' }).stdout;
  expect(ask('llm quan')).toMatch(/^quantize\tshrink/);
  expect(ask('llm run --compute i')).toMatch(/^int8\b/);
  expect(ask('llm run --temp')).toMatch(/^--temperature\t/);
});

withShell('zsh')('zsh is given every option with its values', async () => {
  const completion = await script('zsh');
  const ask = (...words: string[]): string => {
    // Instead of zsh's completion system, which needs a terminal: what would be handed to it.
    const stubs = 'compdef() { }; _describe() { print -l -- $commands }; _arguments() { print -l -- "$@" }';
    const set = `words=(${words.map((word) => `'${word}'`).join(' ')}); CURRENT=${words.length}`;
    const { stdout, stderr } = spawnSync('zsh', ['-f', '-c', `${stubs}\n${completion}\n${set}; _llm`], {
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    return stdout;
  };
  expect(ask('llm', 'q')).toContain('quantize:shrink a model');
  expect(ask('llm', 'run', '')).toContain(
    '--compute[arithmetic of all linears (default: as the model says, else int8)]:value:(int8 bf16 f32)',
  );
  expect(ask('llm', 'run', '')).toContain('stories-llama-5m');
});
