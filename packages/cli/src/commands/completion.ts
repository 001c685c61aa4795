import { Argument, Command } from 'commander';
import { bashCompletion } from '../completion/bash.ts';
import { commandTree } from '../completion/command-tree.ts';
import { fishCompletion } from '../completion/fish.ts';
import { zshCompletion } from '../completion/zsh.ts';
import type { Output } from '../output.ts';
import { shippedModelNames } from '../shipped-models.ts';

const shells = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion };

export function completion(output: Output): Command {
  return new Command('completion')
    .description('print a script that completes this command in a shell')
    .addArgument(new Argument('<shell>', 'your shell').choices(Object.keys(shells)))
    .addHelpText(
      'after',
      '\nExamples:\n  source <(llm completion bash)       in ~/.bashrc\n  source <(llm completion zsh)        in ~/.zshrc, after compinit\n  llm completion fish > ~/.config/fish/completions/llm.fish',
    )
    .action(async (shell: keyof typeof shells) => {
      const { allCommands } = await import('./commands.ts');
      output.write(shells[shell](commandTree(await allCommands(output), shippedModelNames)).trimEnd());
    });
}
