import type { CompletedCommand } from './command-tree.ts';

/** For ~/.config/fish/completions/llm.fish. */
export function fishCompletion(commands: readonly CompletedCommand[]): string {
  const lines = commands.flatMap(({ name, description, options, values }) => {
    const within = `complete -c llm -n '__fish_seen_subcommand_from ${name}'`;
    return [
      `complete -c llm -n __fish_use_subcommand -f -a ${name} -d ${quoted(description)}`,
      ...(values.length > 0 ? [`${within} -a ${quoted(values.join(' '))}`] : []),
      ...options.map(({ short, long, description: text, takesValue, choices }) =>
        [
          `${within} -l ${long.slice(2)}`,
          ...(short === undefined ? [] : [`-s ${short.slice(1)}`]),
          ...(choices.length > 0 ? [`-x -a ${quoted(choices.join(' '))}`] : takesValue ? ['-r'] : []),
          `-d ${quoted(text)}`,
        ].join(' '),
      ),
    ];
  });
  return [
    '# Completion of the llm command in fish: llm completion fish > ~/.config/fish/completions/llm.fish',
    'complete -c llm -n __fish_use_subcommand -l version -d "show the version"',
    ...lines,
    '',
  ].join('\n');
}

function quoted(text: string): string {
  return `'${text.replaceAll(/[\\']/g, (character) => `\\${character}`)}'`;
}
