import type { GenerateOptions } from '@llm/runtime';
import { InvalidOptionError } from '@llm/tensor';
import type { Command } from 'commander';
import { readText } from './read-text.ts';

export interface OutputFormFlags {
  readonly grammar?: string;
  readonly jsonSchema?: string;
}

/** The form of an answer, from a file. */
export function outputFormOptions(command: Command): Command {
  return command
    .option('--json-schema <file>', 'the answer is a JSON text of this schema')
    .option('--grammar <file>', 'the answer keeps to this grammar (GBNF)');
}

/** @throws FileAccessError, InvalidOptionError if the schema's file holds no JSON */
export async function readOutputForm({
  grammar,
  jsonSchema,
}: OutputFormFlags): Promise<Pick<GenerateOptions, 'grammar' | 'jsonSchema'>> {
  return {
    ...(grammar !== undefined && { grammar: await readText(grammar) }),
    ...(jsonSchema !== undefined && { jsonSchema: parse(jsonSchema, await readText(jsonSchema)) }),
  };
}

function parse(path: string, text: string): NonNullable<GenerateOptions['jsonSchema']> {
  try {
    return JSON.parse(text) as NonNullable<GenerateOptions['jsonSchema']>;
  } catch (cause) {
    const reason = `${path} (${(cause as Error).message})`;
    throw new InvalidOptionError('--json-schema', reason, ['files that hold a JSON Schema']);
  }
}
