import type { GenerateOptions } from '@llm/runtime';
import type { Command } from 'commander';
import { collect, realNumber, wholeNumber, type ModelOptions } from './arguments.ts';

export interface GenerationFlags extends ModelOptions {
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  readonly seed?: number;
  readonly stop?: readonly string[];
}

/** How an answer is drawn. */
export function generationOptions(command: Command): Command {
  return command
    .option('-n, --max-tokens <n>', 'the most tokens to write (default: what the context holds)', wholeNumber(1))
    .option('--temperature <x>', '0 takes the likeliest token (default: 0)', realNumber(0, 100))
    .option('--top-k <n>', 'draw among the n likeliest; 0 for all', wholeNumber(0))
    .option('--top-p <x>', 'draw among the likeliest that together reach x', realNumber(0, 1))
    .option('--min-p <x>', 'leave out what is less than x times as likely as the likeliest', realNumber(0, 1))
    .option('--repetition-penalty <x>', 'above 1 makes repetition rarer', realNumber(0.01, 100))
    .option('--presence-penalty <x>', 'taken off the logit of every token that has occurred', realNumber(-100, 100))
    .option('--frequency-penalty <x>', 'taken off for each time it has occurred', realNumber(-100, 100))
    .option('--seed <n>', 'the same seed draws the same answer', wholeNumber(0))
    .option('--stop <text>', 'end before this text; may be given more than once', collect);
}

/** The options that were given, in the runtime's terms. */
export function toGenerateOptions(flags: GenerationFlags): GenerateOptions {
  const names = [
    ...['maxTokens', 'temperature', 'topK', 'topP', 'minP', 'repetitionPenalty'],
    ...['presencePenalty', 'frequencyPenalty', 'seed', 'stop'],
  ];
  return Object.fromEntries(Object.entries(flags).filter(([name]) => names.includes(name)));
}
