import { InvalidOptionError } from '@llm/tensor';
import { arcEasy } from './arc-easy.ts';
import { hellaswag } from './hellaswag.ts';
import { lambada } from './lambada.ts';
import { piqa } from './piqa.ts';
import type { Task } from './task.ts';
import { wikitext } from './wikitext.ts';
import { winogrande } from './winogrande.ts';

/** Every task, in the order in which they are listed. */
export const tasks: readonly Task[] = [lambada, hellaswag, winogrande, piqa, arcEasy, wikitext] as readonly Task[];

/** Short names that people write. */
const aliases: Readonly<Record<string, string>> = { lambada: 'lambada_openai', arc: 'arc_easy', wikitext2: 'wikitext' };

/** @throws {@link InvalidOptionError} that lists the tasks */
export function taskNamed(name: string): Task {
  const task = tasks.find((candidate) => candidate.name === (aliases[name] ?? name));
  if (!task) throw new InvalidOptionError('task', name, [...tasks.map((known) => known.name)]);
  return task;
}
