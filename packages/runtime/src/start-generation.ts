import type { StreamingDecoder } from '@llm/models';
import { samplingOptionNames, type Grammar, type SamplingOptions, type Sequence } from '@llm/tensor';

import { Generation, type Answer } from './generation.ts';
import type { LoadedModel } from './load.ts';
import type { GenerateOptions } from './options.ts';

/** What the engine counts up to. */
const mostTokens = 2 ** 31 - 1;

/** What a generation begins with, besides its options. */
export interface GenerationBeginning {
  readonly sequence: Sequence;
  /** What goes to the end of the sequence. */
  readonly prompt: Int32Array;
  readonly decoder: StreamingDecoder | undefined;
  readonly grammar: Grammar | undefined;
  /** Hears of the answer, once. */
  readonly finished: (answer: Answer) => void;
}

/** The form that the options ask for. Before anything is begun, because it may be none. */
export function grammarOf({ forms, checkpoint }: LoadedModel, options: GenerateOptions): Grammar | undefined {
  return forms.grammarOf(options, options.stopTokens ?? checkpoint.eosTokenIds);
}

/** The engine draws by default; {@link GenerateOptions} say that the likeliest token is taken. */
function samplingOf(options: GenerateOptions): SamplingOptions {
  const given = Object.entries(options).filter(([name]) => samplingOptionNames.includes(name));
  return { temperature: 0, ...(Object.fromEntries(given) as SamplingOptions) };
}

/** Starts a generation at the end of a sequence. */
export function startGeneration(
  { program, checkpoint, contextLength }: Pick<LoadedModel, 'program' | 'checkpoint' | 'contextLength'>,
  { sequence, prompt, decoder, grammar, finished }: GenerationBeginning,
  options: GenerateOptions,
): Generation {
  const {
    stop = [],
    stopTokens = checkpoint.eosTokenIds,
    signal,
    logProbabilities,
    maxTokens,
    contextShift,
    speculation,
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
          sampling: samplingOf(options),
          stopTokens,
          ...(contextShift && { contextShift }),
          ...(speculation && { speculation }),
          ...(grammar && { grammar }),
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
