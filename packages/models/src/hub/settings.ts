import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where the hub and its cache are: the environment variables of Hugging Face's own tools, with their defaults. */
export interface HubSettings {
  /** `HF_ENDPOINT`, without a slash at the end. */
  readonly endpoint: string;
  /** `HF_TOKEN`, or what `huggingface-cli login` saved. */
  readonly token: string | undefined;
  /** `HF_HUB_CACHE`, or `hub` in `HF_HOME`. */
  readonly cache: string;
  /** `HF_HUB_OFFLINE`: nothing is fetched. */
  readonly offline: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

export function hubSettings(environment: Environment = process.env): HubSettings {
  const { HF_ENDPOINT, HF_TOKEN, HF_TOKEN_PATH, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE, XDG_CACHE_HOME } = environment;
  const home = given(HF_HOME) ?? join(given(XDG_CACHE_HOME) ?? join(homedir(), '.cache'), 'huggingface');
  return {
    endpoint: (given(HF_ENDPOINT) ?? 'https://huggingface.co').replace(/\/+$/u, ''),
    token: given(HF_TOKEN) ?? savedToken(given(HF_TOKEN_PATH) ?? join(home, 'token')),
    cache: given(HF_HUB_CACHE) ?? join(home, 'hub'),
    offline: /^(?:1|true|yes|on)$/iu.test(HF_HUB_OFFLINE ?? ''),
  };
}

/** An empty variable counts as none. */
function given(value: string | undefined): string | undefined {
  return value === undefined || value.trim() === '' ? undefined : value.trim();
}

function savedToken(path: string): string | undefined {
  try {
    return given(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}
