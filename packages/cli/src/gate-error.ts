import { LlmError } from '@llm/tensor';

/** A threshold that the user set was not reached: the work is done and printed, the exit code says no. */
export class GateError extends LlmError {
  constructor(message: string) {
    super('GATE', message);
  }
}
