import type { Command } from 'commander';

/** What a shell completes after `llm`. */
export interface CompletedCommand {
  readonly name: string;
  readonly description: string;
  readonly options: readonly CompletedOption[];
  /** The values of the first argument, where they are few and known. */
  readonly values: readonly string[];
}

export interface CompletedOption {
  /** "-n", if it has a short form. */
  readonly short: string | undefined;
  readonly long: string;
  readonly description: string;
  readonly takesValue: boolean;
  /** The possible values, where they are few. */
  readonly choices: readonly string[];
}

/** Reads it from the commands themselves, so that nothing is listed twice. */
export function commandTree(commands: readonly Command[], modelNames: readonly string[]): CompletedCommand[] {
  return commands.map((command) => {
    const [first] = command.registeredArguments;
    return {
      name: command.name(),
      description: command.description(),
      values: first?.argChoices ?? (first?.name() === 'model' ? modelNames : []),
      options: [
        ...command.options.map((option): CompletedOption => ({
          short: option.short,
          long: option.long ?? '',
          description: option.description,
          takesValue: option.required || option.optional,
          choices: option.argChoices ?? [],
        })),
        { short: '-h', long: '--help', description: 'show what it takes', takesValue: false, choices: [] },
      ],
    };
  });
}
