import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** For node-gyp's environment: without it the headers are downloaded, unless npm happens to start it with its own nodedir. */
export function headersBesideNode() {
  const prefix = join(dirname(process.execPath), '..');
  return existsSync(join(prefix, 'include/node/node_api.h')) ? { npm_config_nodedir: prefix } : {};
}
