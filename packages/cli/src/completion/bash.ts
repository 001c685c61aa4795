import type { CompletedCommand } from './command-tree.ts';

/** For `source <(llm completion bash)`. */
export function bashCompletion(commands: readonly CompletedCommand[]): string {
  const values = commands.flatMap(({ name, options }) =>
    options
      .filter(({ takesValue }) => takesValue)
      .map(({ short, long, choices }) => {
        const flags = [long, ...(short === undefined ? [] : [short])].map((flag) => `'${name} ${flag}'`).join(' | ');
        return `    ${flags}) words='${choices.join(' ')}'; [ -n "$words" ] || files=1 ;;`;
      }),
  );
  const options = commands.map(
    ({ name, options: own }) => `      ${name}) words='${own.map(({ long }) => long).join(' ')}' ;;`,
  );
  const first = commands.map((command) => `      ${command.name}) words='${command.values.join(' ')}' ;;`);
  return `# Completion of the llm command in bash. In ~/.bashrc: source <(llm completion bash)
_llm() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} command=\${COMP_WORDS[1]}
  local words='' files=''
  COMPREPLY=()
  if [ "$COMP_CWORD" = 1 ]; then
    COMPREPLY=($(compgen -W '${commands.map(({ name }) => name).join(' ')} --help --version' -- "$current"))
    return
  fi
  case "$command $previous" in
${values.join('\n')}
    *)
    if [[ $current == -* ]]; then
      case $command in
${options.join('\n')}
      esac
    else
      files=1
      case $command in
${first.join('\n')}
      esac
    fi ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [ -n "$files" ]; then compopt -o filenames 2> /dev/null; COMPREPLY+=($(compgen -f -- "$current")); fi
}
complete -F _llm llm
`;
}
