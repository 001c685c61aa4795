import { Command } from 'commander';
import type { Output } from '../output.ts';

type CommandFactory = (output: Output) => Command;

/** Every command. Its file, and what that imports, is loaded only when it is called: `llm --version` stays quick. */
const registry: readonly (readonly [name: string, description: string, load: () => Promise<CommandFactory>])[] = [
  ['run', 'complete a text', async () => (await import('./run.ts')).run],
  ['chat', 'talk with a model', async () => (await import('./chat.ts')).chat],
  ['quantize', 'shrink a model to INT4', async () => (await import('./quantize.ts')).quantize],
  ['convert', 'write a model in another format', async () => (await import('./convert.ts')).convert],
  ['inspect', 'show what a model is made of and what it needs', async () => (await import('./inspect.ts')).inspect],
  ['eval', 'judge a model: tasks, perplexity, divergence', async () => (await import('./eval.ts')).evaluate],
  [
    'tune',
    'find the cheapest recipe that keeps a model within tolerance',
    async () => (await import('./tune.ts')).tune,
  ],
  ['tune-worker', 'carry out trials of llm tune --workers', async () => (await import('./tune-worker.ts')).tuneWorker],
  ['bench', 'measure speed against the limits of this machine', async () => (await import('./bench.ts')).bench],
  [
    'doctor',
    'show what this machine can do and which kernels are used',
    async () => (await import('./doctor.ts')).doctor,
  ],
  ['pull', 'download a model from the hub', async () => (await import('./pull.ts')).pull],
  [
    'completion',
    'print a script that completes this command in a shell',
    async () => (await import('./completion.ts')).completion,
  ],
];

/** For each, the real command if it is the one called, else a line for the help. */
export const commands: readonly ((called: string | undefined, output: Output) => Promise<Command>)[] = registry.map(
  ([name, description, load]) =>
    async (called, output) =>
      called === name ? (await load())(output) : new Command(name).description(description),
);

/** Every real command: for what looks into all of them. */
export async function allCommands(output: Output): Promise<Command[]> {
  const all: Command[] = [];
  for (const [, , load] of registry) all.push((await load())(output));
  return all;
}
