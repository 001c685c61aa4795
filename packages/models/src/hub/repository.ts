import { InvalidArgumentError } from '@llm/tensor';

/** A model on the hub. */
export interface Repository {
  /** `owner/name`, or a bare name of the hub's first models. */
  readonly name: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
}

const namePattern = /^[A-Za-z0-9][\w.-]*(?:\/[A-Za-z0-9][\w.-]*)?$/u;
const revisionPattern = /^[\w][\w./-]*$/u;

/** Takes `owner/name[@revision]`, with or without `hf:` in front. Throws `InvalidArgumentError`. */
export function parseRepository(source: string, revision?: string): Repository {
  const [name = '', ...rest] = source.replace(/^hf:/u, '').split('@');
  const chosen = revision ?? (rest.length === 0 ? 'main' : rest.join('@'));
  const sound = namePattern.test(name) && revisionPattern.test(chosen) && !chosen.split('/').includes('..');
  if (sound) return { name, revision: chosen };
  throw new InvalidArgumentError(`${source} is no model of the hub. Write owner/name or owner/name@revision.`);
}
