import type { Architecture, ForwardPass, GgufMapping, HfConfig } from '../../architecture.ts';
import { UnsupportedFormatError } from '../../errors.ts';
import { firstDifference } from './compare-forward.ts';
import type { GgufEntryValue } from './write.ts';

/** Keys of GGUF, after the architecture's name, and the keys of config.json, or paths of keys, that say the same. */
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
  ['attention.clamp_kqv', 'f32', ['attn_config.clip_qkv']],
  ['attention.max_alibi_bias', 'f32', ['attn_config.alibi_bias_max']],
  ['attn_logit_softcapping', 'f32', ['attn_logit_softcapping']],
  ['final_logit_softcapping', 'f32', ['final_logit_softcapping']],
  ['rope.freq_base', 'f32', ['rope_theta', 'rotary_emb_base']],
  ['rope.freq_base_swa', 'f32', ['rope_local_base_freq']],
];

/**
 * The metadata of GGUF for a configuration. What is written is read back through the architecture's own mapping; a model whose
 * forward pass does not survive is refused, naming what is lost.
 * @param tensors - the shapes of those in the file
 */
export function metadataOfConfig(
  path: string,
  architecture: Architecture & { readonly gguf: GgufMapping },
  given: HfConfig,
  tensors: ReadonlyMap<string, readonly number[]>,
): Map<string, GgufEntryValue> {
  const config = withOldRopeKeys(given);
  const prefix = architecture.gguf.architecture;
  const metadata = new Map<string, GgufEntryValue>([['general.architecture', { type: 'string', value: prefix }]]);
  for (const [key, type, names] of numbers) {
    const value = names.map((name) => valueAt(config, name)).find((found) => typeof found === 'number');
    if (typeof value === 'number') metadata.set(`${prefix}.${key}`, { type, value });
  }
  const forward = architecture.build(given);
  // Configurations say in several ways how many there are, and llama.cpp takes them for as many as queries have.
  const attention = forward.graph.nodes.find((node) => node.op === 'attention');
  if (attention?.op === 'attention') {
    metadata.set(`${prefix}.attention.head_count_kv`, { type: 'u32', value: attention.attributes.kvHeads });
  }
  for (const key of architecture.gguf.ownKeys ?? []) {
    const value = config[key];
    if (typeof value === 'string') metadata.set(`${prefix}.${key}`, { type: 'string', value });
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
  checkReadBack(path, architecture, given, forward, metadata, tensors);
  return metadata;
}

function valueAt(config: HfConfig, path: string): unknown {
  const [key = '', inner] = path.split('.');
  const value = config[key];
  return inner === undefined ? value : (value as HfConfig | undefined)?.[inner];
}

/** The rotary keys as they were before transformers 5, out of `rope_parameters` where a configuration has them there. */
function withOldRopeKeys(config: HfConfig): HfConfig {
  const given = config['rope_parameters'] as HfConfig | undefined;
  if (!given) return config;
  // Models with several kinds of layers have a set for each.
  const { rope_theta, partial_rotary_factor, ...scaling } = (given['full_attention'] ?? given) as HfConfig;
  const local = given['sliding_attention'] as HfConfig | undefined;
  return {
    ...config,
    rope_theta: rope_theta ?? config['rope_theta'],
    partial_rotary_factor: partial_rotary_factor ?? config['partial_rotary_factor'],
    rope_local_base_freq: local?.['rope_theta'] ?? config['rope_local_base_freq'],
    rope_scaling: scaling,
  };
}

function rotaryDimension(config: HfConfig): number {
  const number = (...names: string[]): number | undefined =>
    names.map((name) => config[name]).find((value) => typeof value === 'number');
  const headDim =
    number('head_dim') ??
    (number('hidden_size', 'n_embd', 'd_model') ?? 0) / (number('num_attention_heads', 'n_head', 'n_heads') ?? 1);
  return number('rotary_dim') ?? Math.round(headDim * (number('partial_rotary_factor', 'rotary_pct') ?? 1));
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
export function ropeFactors(given: HfConfig): Float32Array | undefined {
  const config = withOldRopeKeys(given);
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
  forward: ForwardPass,
  metadata: ReadonlyMap<string, GgufEntryValue>,
  tensors: ReadonlyMap<string, readonly number[]>,
): void {
  const factors = ropeFactors(config);
  const back = architecture.gguf.config({
    metadata: new Map([...metadata].map(([key, { value }]) => [key, value])),
    has: (name) => tensors.has(name),
    shape: (name) => tensors.get(name) ?? [],
    read: () => factors ?? new Float32Array(0),
  });
  const lost = firstDifference(forward, architecture.build(back));
  if (lost !== undefined) throw new UnsupportedFormatError(path, `GGUF does not hold its ${lost}`);
}
