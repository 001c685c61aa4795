import type { StreamingDecoder } from '@llm/models';
import type { Sequence } from '@llm/tensor';

import { Generation, type Answer } from './generation.ts';
import type { LoadedModel } from './load.ts';
import type { GenerateOptions } from './options.ts';

/** What the engine counts up to. */
const mostTokens = 2 ** 31 - 1;

/**
 * Starts a generation at the end of a sequence. `finished` hears of the answer, once.
 */
export function startGeneration(
  { program, checkpoint, contextLength }: Pick<LoadedModel, 'program' | 'checkpoint' | 'contextLength'>,
  sequence: Sequence,
  prompt: Int32Array,
  decoder: StreamingDecoder | undefined,
  options: GenerateOptions,
  finished: (answer: Answer) => void,
): Generation {
  const {
    stop = [],
    stopTokens = checkpoint.eosTokenIds,
    signal,
    logProbabilities,
    maxTokens,
    temperature = 0,
    contextShift,
    speculation,
    ...rest
  } = options;
  // The last token needs no place of its own.
  const room = contextShift ? Infinity : contextLength - sequence.length - prompt.length + 1;
  return new Generation({
    begin: (onTokens) => {
      const handle = program.generate(
        sequence,
        prompt,
        {
          maxTokens: Math.min(maxTokens ?? Infinity, room, mostTokens),
          sampling: { temperature, ...rest },
          stopTokens,
          ...(contextShift && { contextShift }),
          ...(speculation && { speculation }),
          ...(logProbabilities !== undefined && { logProbabilities }),
        },
        onTokens,
      );
      // The engine's own limit may lie beyond the context that was asked for.
      const done = handle.done.then((finish) => {
        const full = finish.reason === 'length' && finish.generatedTokens < (maxTokens ?? Infinity);
        return full ? { ...finish, reason: 'context' as const } : finish;
      });
      return {
        cancel: () => {
          handle.cancel();
        },
        done,
      };
    },
    decoder,
    cachedTokens: sequence.length,
    stop: typeof stop === 'string' ? [stop] : stop,
    signal,
    finished,
  });
}
