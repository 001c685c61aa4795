import type { CompletedCommand, CompletedOption } from './command-tree.ts';

/** For a file _llm in a folder of $fpath, or `source <(llm completion zsh)` after compinit. */
export function zshCompletion(commands: readonly CompletedCommand[]): string {
  const list = commands.map(({ name, description }) => `    ${quoted(`${name}:${description}`)}`);
  const cases = commands.map(({ name, options, values }) => {
    const first =
      values.length > 0 ? `'1:model:_alternative "names:name:(${values.join(' ')})" "files:file:_files"'` : '';
    const lines = [...options.map(argument), ...(first ? [first] : []), "'*:file:_files'"];
    return `      ${name})\n        _arguments ${lines.join(' \\\n          ')} ;;`;
  });
  return `#compdef llm
# Completion of the llm command in zsh. In ~/.zshrc, after compinit: source <(llm completion zsh)
_llm() {
  local -a commands
  commands=(
${list.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${cases.join('\n')}
  esac
}
if [ "$funcstack[1]" = _llm ]; then _llm "$@"; else compdef _llm llm; fi
`;
}

function argument({ short, long, description, takesValue, choices }: CompletedOption): string {
  const text = description.replaceAll(/[[\]:\\]/g, (character) => `\\${character}`);
  const value = takesValue ? `:value:${choices.length > 0 ? `(${choices.join(' ')})` : '_files'}` : '';
  const flags = short === undefined ? [long] : [short, long];
  return flags.map((flag) => quoted(`${flag}[${text}]${value}`)).join(' ');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
