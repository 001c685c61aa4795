import { LlmError } from '@llm/tensor';

/** Another engine's benchmark program that did not run, or printed something else than it should. */
export class BenchToolError extends LlmError {
  constructor(program: string, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super('BENCH_TOOL', `${program}: ${reason.trim()}. Give --llama-bench the program of that name of llama.cpp.`, {
      cause,
    });
  }
}
