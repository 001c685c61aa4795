// Every architecture that GGUF has, written by `convert` and continued greedily by llama.cpp and here:
//   node tools/verify/gguf-architectures.mjs FOLDER [FIXTURE...]
// FOLDER is where the npm package node-llama-cpp is installed. Needs built packages. The models are the random ones of
// packages/models/fixtures, with options that llama.cpp does not have set back. One line each: how many tokens agree from the start.
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../run.mjs';
import { agreeing, openLlama, ours, theirs } from './continue-greedily.mjs';

const [folder, ...chosen] = process.argv.slice(2);
if (!folder) throw new Error('usage: gguf-architectures.mjs FOLDER [FIXTURE...]');
const fixtures = join(root, 'packages/models/fixtures');
const { convert } = await import(join(root, 'packages/models/dist/index.js'));
const llama = await openLlama(folder);
const TOKENS = 12;

/** What the fixtures switch on that GGUF cannot say. */
const setBack = {
  gemma2: { query_pre_attn_scalar: 24 },
  gemma3: { query_pre_attn_scalar: 24, layer_types: null },
  mistral: { sliding_window: null },
  phi3: { sliding_window: null },
  mpt: (config) => ({ attn_config: { ...config.attn_config, softmax_scale: null } }),
  qwen2: { use_sliding_window: false },
  smollm3: { use_sliding_window: false, layer_types: null, no_rope_layers: null },
};

/** The fixture with a byte-level tokenizer of as many tokens as it has. */
function modelOf(name, path) {
  mkdirSync(path);
  copyFileSync(join(fixtures, name, 'model.safetensors'), join(path, 'model.safetensors'));
  const config = JSON.parse(readFileSync(join(fixtures, name, 'config.json'), 'utf8'));
  const keys = setBack[name] ?? {};
  Object.assign(config, typeof keys === 'function' ? keys(config) : keys);
  writeFileSync(join(path, 'config.json'), JSON.stringify(config));
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  const vocab = Object.fromEntries(
    Array.from({ length: config.vocab_size }, (_, id) => [id < 94 ? String.fromCharCode(0x21 + id) : `Ġ${id}`, id]),
  );
  const model = { type: 'BPE', vocab, merges: [] };
  writeFileSync(
    join(path, 'tokenizer.json'),
    JSON.stringify({ pre_tokenizer: byteLevel, decoder: byteLevel, added_tokens: [], model }),
  );
}

async function outcome(name, path) {
  modelOf(name, path);
  const file = `${path}.gguf`;
  try {
    await convert(path, file, { to: 'gguf', type: 'F32' });
  } catch (error) {
    return `not written: ${error.message}`;
  }
  const [{ ids }] = JSON.parse(readFileSync(join(fixtures, name, 'expected.json'), 'utf8')).prompts;
  const here = await ours(file, ids, TOKENS);
  try {
    return `${agreeing(here, await theirs(llama, file, ids, TOKENS))} of ${TOKENS} greedy tokens agree`;
  } catch (error) {
    return `llama.cpp: ${error.message}`;
  }
}

const scratch = mkdtempSync(join(tmpdir(), 'llm-verify-'));
try {
  for (const name of readdirSync(fixtures)) {
    if (chosen.length > 0 && !chosen.includes(name)) continue;
    console.log(`${name}: ${await outcome(name, join(scratch, name))}`);
  }
} finally {
  rmSync(scratch, { recursive: true });
}
process.exit(0);
