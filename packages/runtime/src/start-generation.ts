import type { StreamingDecoder } from '@llm/models';
import type { Sequence } from '@llm/tensor';

import { Generation, type Answer } from './generation.ts';
import type { LoadedModel } from './load.ts';
import type { GenerateOptions } from './options.ts';

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
    ...rest
  } = options;
  const room = contextLength - sequence.length - prompt.length;
  return new Generation({
    begin: (onTokens) => {
      const handle = program.generate(
        sequence,
        prompt,
        {
          maxTokens: Math.min(maxTokens ?? Infinity, room + 1),
          sampling: { temperature, ...rest },
          stopTokens,
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
