import { linearComputes, type LinearCompute } from '@llm/tensor';
import { InvalidArgumentError, type Command, type Option } from 'commander';
import { Option as CommandOption } from 'commander';
import { readText } from './read-text.ts';

/** Parsers of option values: a wrong one is a usage mistake that names what is allowed. */
export function wholeNumber(lowest: number, highest: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isInteger(value) || value < lowest || value > highest)
      throw new InvalidArgumentError(
        highest === Number.MAX_SAFE_INTEGER
          ? `It must be a whole number from ${lowest} up.`
          : `It must be a whole number from ${lowest} to ${highest}.`,
      );
    return value;
  };
}

export function realNumber(lowest: number, highest: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || Number.isNaN(value) || value < lowest || value > highest)
      throw new InvalidArgumentError(`It must be a number from ${lowest} to ${highest}.`);
    return value;
  };
}

/** "1%" and "0.01" are the same. */
export function share(text: string): number {
  const value = text.endsWith('%') ? Number(text.slice(0, -1)) / 100 : Number(text);
  if (!(value >= 0 && value <= 1)) throw new InvalidArgumentError("It must be a share such as '1%' or 0.01.");
  return value;
}

/** For options that may be given more than once. */
export function collect(value: string, previous?: readonly string[]): string[] {
  return [...(previous ?? []), value];
}

export function commaSeparated(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

export interface CommonOptions {
  readonly json?: true;
  readonly quiet?: true;
}

/** What every command has. */
export function commonOptions(command: Command): Command {
  return command.option('--json', 'print JSON on standard output').option('-q, --quiet', 'print the result only');
}

export interface ModelOptions extends CommonOptions {
  readonly threads?: number;
  readonly context?: number;
  readonly compute?: LinearCompute;
  readonly weights?: 'as-is' | 'int4';
  readonly groupSize?: number;
  readonly kvCache?: 'f32' | 'f16' | 'bf16' | 'int8';
  readonly cache?: true;
}

/** How a model is loaded and run. */
export function modelOptions(command: Command): Command {
  return commonOptions(command)
    .option('-t, --threads <n>', 'threads (default: as many as the machine gives this process)', wholeNumber(1, 1024))
    .option('-c, --context <tokens>', 'context length (default: the model’s own, at most 4096)', wholeNumber(8))
    .addOption(
      choice('--compute <type>', 'arithmetic of all linears (default: as the model says, else int8)', linearComputes),
    )
    .addOption(choice('--weights <kind>', 'int4 quantizes while loading', ['as-is', 'int4']))
    .option('--group-size <n>', 'weights under one scale, for --weights int4 (default: 32)', groupSize)
    .addOption(choice('--kv-cache <type>', 'type of the key and value cache', ['f32', 'f16', 'bf16', 'int8']))
    .option('--cache', 'keep weights of other formats (GGUF, GPTQ, ...) in a file that the next load maps');
}

export function choice(flags: string, description: string, values: readonly string[]): Option {
  return new CommandOption(flags, description).choices(values);
}

export function groupSize(text: string): number {
  const value = Number(text);
  if (value === -1 || (Number.isInteger(value) && value >= 8 && value <= 1024 && value % 8 === 0)) return value;
  throw new InvalidArgumentError('It must be -1 (one group per output channel) or a multiple of 8 from 8 to 1024.');
}

/** Text from an argument, or, without one, from standard input; `@file` reads a file. */
export async function textOf(argument: string | undefined): Promise<string | undefined> {
  if (argument?.startsWith('@')) return readText(argument.slice(1));
  if (argument !== undefined) return argument;
  if (process.stdin.isTTY) return undefined;
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
