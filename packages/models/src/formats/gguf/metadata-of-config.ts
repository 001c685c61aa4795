import type { Architecture, GgufMapping, HfConfig } from '../../architecture.ts';
import { UnsupportedFormatError } from '../../errors.ts';
import type { GgufEntryValue } from './write.ts';

/** Keys of GGUF, after the architecture's name, and the keys of config.json that say the same. */
const numbers: readonly (readonly [key: string, type: 'u32' | 'f32', names: readonly string[]])[] = [
  ['context_length', 'u32', ['max_position_embeddings', 'n_positions', 'max_seq_len']],
  ['embedding_length', 'u32', ['hidden_size', 'n_embd', 'd_model']],
  ['block_count', 'u32', ['num_hidden_layers', 'n_layer', 'n_layers']],
  ['feed_forward_length', 'u32', ['intermediate_size', 'n_inner']],
  ['attention.head_count', 'u32', ['num_attention_heads', 'n_head', 'n_heads']],
  ['attention.head_count_kv', 'u32', ['num_key_value_heads']],
  ['attention.key_length', 'u32', ['head_dim']],
  ['attention.value_length', 'u32', ['head_dim']],
  ['attention.layer_norm_rms_epsilon', 'f32', ['rms_norm_eps']],
  ['attention.layer_norm_epsilon', 'f32', ['layer_norm_eps', 'layer_norm_epsilon']],
  ['attention.sliding_window', 'u32', ['sliding_window']],
  ['attention.clamp_kqv', 'f32', ['clip_qkv']],
  ['attn_logit_softcapping', 'f32', ['attn_logit_softcapping']],
  ['final_logit_softcapping', 'f32', ['final_logit_softcapping']],
  ['rope.freq_base', 'f32', ['rope_theta', 'rotary_emb_base']],
  ['rope.freq_base_swa', 'f32', ['rope_local_base_freq']],
];

/** Keys that GGUF says in other ways, or that say nothing about the forward pass. */
const unsaid = new Set([
  'vocab_size',
  'bos_token_id',
  'eos_token_id',
  'tie_word_embeddings',
  'rope_scaling',
  'rope_theta',
]);

/**
 * The metadata of GGUF for a configuration. What is written is read back through the architecture's own mapping; a configuration
 * that does not survive is refused, naming the keys. `hasTensor` knows the names in the file.
 */
export function metadataOfConfig(
  path: string,
  architecture: Architecture & { readonly gguf: GgufMapping },
  config: HfConfig,
  tensors: ReadonlyMap<string, readonly number[]>,
): Map<string, GgufEntryValue> {
  const prefix = architecture.gguf.architecture;
  const metadata = new Map<string, GgufEntryValue>([['general.architecture', { type: 'string', value: prefix }]]);
  for (const [key, type, names] of numbers) {
    const value = names.map((name) => config[name]).find((found) => typeof found === 'number');
    if (typeof value === 'number') metadata.set(`${prefix}.${key}`, { type, value });
  }
  const ffn = tensors.get('blk.0.ffn_up.weight')?.[0];
  if (ffn !== undefined && !metadata.has(`${prefix}.feed_forward_length`)) {
    metadata.set(`${prefix}.feed_forward_length`, { type: 'u32', value: ffn });
  }
  metadata.set(`${prefix}.rope.dimension_count`, { type: 'u32', value: rotaryDimension(config) });
  if (typeof config['use_parallel_residual'] === 'boolean') {
    metadata.set(`${prefix}.use_parallel_residual`, { type: 'bool', value: config['use_parallel_residual'] });
  }
  for (const [key, value] of ropeScaling(path, config)) metadata.set(`${prefix}.rope.scaling.${key}`, value);
  checkReadBack(path, architecture, config, metadata, tensors);
  return metadata;
}

function rotaryDimension(config: HfConfig): number {
  const number = (...names: string[]): number | undefined =>
    names.map((name) => config[name]).find((value) => typeof value === 'number');
  const headDim =
    number('head_dim') ??
    (number('hidden_size', 'n_embd', 'd_model') ?? 0) / (number('num_attention_heads', 'n_head', 'n_heads') ?? 1);
  return number('rotary_dim') ?? Math.round(headDim * (number('rotary_pct', 'partial_rotary_factor') ?? 1));
}

function ropeScaling(path: string, config: HfConfig): Map<string, GgufEntryValue> {
  const scaling = (config['rope_scaling'] ?? {}) as HfConfig;
  const type = scaling['rope_type'] ?? scaling['type'] ?? 'default';
  // Llama 3's and factors in general are a tensor of their own.
  if (type === 'default' || type === 'llama3' || type === 'factors') return new Map();
  if (type !== 'linear' && type !== 'yarn')
    throw new UnsupportedFormatError(path, `rope_scaling ${JSON.stringify(type)} is not written to GGUF`);
  const entries = new Map<string, GgufEntryValue>([['type', { type: 'string', value: type }]]);
  const { factor, original_max_position_embeddings: original } = scaling;
  if (typeof factor === 'number') entries.set('factor', { type: 'f32', value: factor });
  if (typeof original === 'number') entries.set('original_context_length', { type: 'u32', value: original });
  return entries;
}

/** The divisors of the rotary frequencies under Llama 3's scaling, the tensor `rope_freqs.weight`; undefined without scaling. */
export function ropeFactors(config: HfConfig): Float32Array | undefined {
  const scaling = (config['rope_scaling'] ?? {}) as HfConfig;
  const type = scaling['rope_type'] ?? scaling['type'];
  if (type === 'factors') return Float32Array.from(scaling['factors'] as number[]);
  if (type !== 'llama3') return undefined;
  const get = (key: string, missing: number): number => (typeof scaling[key] === 'number' ? scaling[key] : missing);
  const factor = get('factor', 8);
  const low = get('low_freq_factor', 1);
  const high = get('high_freq_factor', 4);
  const original = get('original_max_position_embeddings', 8192);
  const dimension = rotaryDimension(config);
  const theta = typeof config['rope_theta'] === 'number' ? config['rope_theta'] : 10_000;
  return Float32Array.from({ length: dimension / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / dimension);
    if (wavelength < original / high) return 1;
    if (wavelength > original / low) return factor;
    const smooth = (original / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

function checkReadBack(
  path: string,
  architecture: Architecture & { readonly gguf: GgufMapping },
  config: HfConfig,
  metadata: ReadonlyMap<string, GgufEntryValue>,
  tensors: ReadonlyMap<string, readonly number[]>,
): void {
  const back = architecture.parse(
    architecture.gguf.config({
      metadata: new Map([...metadata].map(([key, { value }]) => [key, value])),
      has: (name) => tensors.has(name),
      shape: (name) => tensors.get(name) ?? [],
      read: () => new Float32Array(0),
    }),
  );
  const lost = Object.keys(back).filter((key) => !unsaid.has(key) && !same(back[key], config[key]));
  if (lost.length > 0) throw new UnsupportedFormatError(path, `GGUF does not hold its ${lost.join(', ')}`);
}

function same(a: unknown, b: unknown): boolean {
  if (typeof a === 'number' && typeof b === 'number') return Math.abs(a - b) <= 1e-6 * Math.abs(b);
  return JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
}
