/** Reading the metadata of GGUF files under the names of config.json. */
import type { GgufFile, HfConfig } from '../architecture.ts';
import { InvalidConfigError } from '../errors.ts';
import type { Heads } from './schema.ts';

/** Typed access to `architecture.key`. */
export class GgufMetadata {
  readonly file: GgufFile;
  readonly #architecture: string;

  constructor(file: GgufFile, architecture: string) {
    this.file = file;
    this.#architecture = architecture;
  }

  /** @throws {@link InvalidConfigError} if the key is there and not a number */
  number(key: string): number | undefined {
    const value = this.#value(key);
    const number = typeof value === 'bigint' ? Number(value) : value;
    if (number === undefined || typeof number === 'number') return number;
    throw new InvalidConfigError('GGUF metadata', `${this.#architecture}.${key}`, 'must be a number');
  }

  /** @throws {@link InvalidConfigError} if the key is missing or not a number */
  need(key: string): number {
    const value = this.number(key);
    if (value === undefined)
      throw new InvalidConfigError('GGUF metadata', `${this.#architecture}.${key}`, 'is missing');
    return value;
  }

  string(key: string): string | undefined {
    const value = this.#value(key);
    return typeof value === 'string' ? value : undefined;
  }

  flag(key: string): boolean | undefined {
    const value = this.#value(key);
    return typeof value === 'boolean' ? value : undefined;
  }

  #value(key: string): unknown {
    return this.file.metadata.get(`${this.#architecture}.${key}`);
  }
}

/** Keys that every architecture with Hugging Face's usual names has. */
export function commonConfig(modelType: string, meta: GgufMetadata): HfConfig {
  const { file } = meta;
  const token = (key: string): number | undefined => {
    const id = file.metadata.get(`tokenizer.ggml.${key}_token_id`);
    return id === undefined ? undefined : Number(id);
  };
  return {
    model_type: modelType,
    vocab_size: file.has('token_embd.weight') ? file.shape('token_embd.weight')[0] : undefined,
    hidden_size: meta.need('embedding_length'),
    num_hidden_layers: meta.need('block_count'),
    num_attention_heads: meta.need('attention.head_count'),
    num_key_value_heads: meta.number('attention.head_count_kv'),
    intermediate_size: meta.number('feed_forward_length'),
    max_position_embeddings: meta.need('context_length'),
    tie_word_embeddings: !file.has('output.weight'),
    bos_token_id: token('bos'),
    eos_token_id: token('eos'),
  };
}

/** The rotary keys. */
export function ropeFromGguf(meta: GgufMetadata): HfConfig {
  return { rope_theta: meta.number('rope.freq_base'), rope_scaling: scalingFromGguf(meta) };
}

function scalingFromGguf(meta: GgufMetadata): HfConfig | undefined {
  const { file } = meta;
  if (file.has('rope_freqs.weight')) return { rope_type: 'factors', factors: [...file.read('rope_freqs.weight')] };
  const original = meta.number('rope.scaling.original_context_length');
  if (file.has('rope_factors_long.weight')) {
    return {
      rope_type: 'longrope',
      short_factor: [...file.read('rope_factors_short.weight')],
      long_factor: [...file.read('rope_factors_long.weight')],
      original_max_position_embeddings: original,
      attention_factor: meta.number('rope.scaling.attn_factor'),
    };
  }
  const type = meta.string('rope.scaling.type');
  if (type === undefined || type === 'none') return undefined;
  return { rope_type: type, factor: meta.number('rope.scaling.factor'), original_max_position_embeddings: original };
}

/** Names of the weights and biases of some stems, in GGUF files and in Hugging Face checkpoints. */
export function tensorNames(stems: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    ['weight', 'bias'].flatMap((kind) =>
      Object.entries(stems).map(([file, checkpoint]) => [`${file}.${kind}`, `${checkpoint}.${kind}`]),
    ),
  );
}

/** The stems of Llama and of those that follow it. */
export const llamaTensors = {
  token_embd: 'model.embed_tokens',
  output_norm: 'model.norm',
  output: 'lm_head',
  'blk.#.attn_norm': 'model.layers.#.input_layernorm',
  'blk.#.attn_q': 'model.layers.#.self_attn.q_proj',
  'blk.#.attn_k': 'model.layers.#.self_attn.k_proj',
  'blk.#.attn_v': 'model.layers.#.self_attn.v_proj',
  'blk.#.attn_output': 'model.layers.#.self_attn.o_proj',
  'blk.#.ffn_norm': 'model.layers.#.post_attention_layernorm',
  'blk.#.ffn_gate': 'model.layers.#.mlp.gate_proj',
  'blk.#.ffn_up': 'model.layers.#.mlp.up_proj',
  'blk.#.ffn_down': 'model.layers.#.mlp.down_proj',
} as const;

/** The stems of norms on the heads of q and k. */
export const headNormTensors = {
  'blk.#.attn_q_norm': 'model.layers.#.self_attn.q_norm',
  'blk.#.attn_k_norm': 'model.layers.#.self_attn.k_norm',
} as const;

/** The rotated weights that llama.cpp permutes, by their place in Llama's checkpoints. */
const rotated = /\.self_attn\.([qk])_proj\.(?:weight|bias)$/;

/**
 * GGUF files of Llama rotate neighbours, so their q and k have, in every head, channel i and i + half side by side: the order that
 * finds Hugging Face's rows in them. Undefined for other weights.
 */
export function rotaryRowOrder(name: string, { heads, kvHeads, headDim }: Heads): Int32Array | undefined {
  const part = rotated.exec(name)?.[1];
  if (part === undefined) return undefined;
  const half = headDim / 2;
  return Int32Array.from({ length: (part === 'q' ? heads : kvHeads) * headDim }, (_, row) => {
    const channel = row % headDim;
    return row - channel + 2 * (channel % half) + (channel < half ? 0 : 1);
  });
}
