/** Stretches of rotary positions for contexts longer than those of the pre-training. */
export type RopeScaling =
  /** Positions divided by `factor` (Chen et al. 2023, position interpolation). */
  | { readonly type: 'linear'; readonly factor: number }
  /** Llama 3.1: low frequencies divided by `factor`, high ones kept, a smooth step between. */
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContext: number;
    }
  /** YaRN (Peng et al. 2023): as llama3 but with a linear ramp over dimensions; cos and sin are multiplied by `attentionFactor`. */
  | {
      readonly type: 'yarn';
      readonly factor: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      readonly originalContext: number;
      readonly attentionFactor: number;
      /** Whether the ramp's ends are rounded to whole dimensions. */
      readonly truncate: boolean;
    }
  /** LongRoPE (Ding et al. 2024): one divisor per frequency, another set for contexts beyond `originalContext`. */
  | {
      readonly type: 'longrope';
      readonly shortFactors: readonly number[];
      readonly longFactors: readonly number[];
      readonly originalContext: number;
      readonly attentionFactor: number;
    }
  /** Frequencies divided by one given number each, whatever the context: how GGUF files store any of the above. */
  | { readonly type: 'factors'; readonly factors: readonly number[] };

export interface RopeAttributes {
  readonly headDim: number;
  /** The first so many dimensions of every head are rotated. */
  readonly rotaryDim: number;
  readonly theta: number;
  /** Pairs (i, i + rotaryDim / 2), or (2i, 2i + 1). */
  readonly style: 'half' | 'interleaved';
  readonly scaling?: RopeScaling;
}

export interface AttentionAttributes {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Factor on q . k, usually headDim ** -0.5. */
  readonly scale: number;
  /** Index of the layer's place in the KV cache. */
  readonly layer: number;
  /** A token sees itself and the window - 1 tokens before it. All of them if left out. */
  readonly window?: number;
  /** Scores become softcap * tanh(score / softcap) (Gemma 2). */
  readonly softcap?: number;
  /** Slope per head: slope * (key position - query position) is added to the score (Press et al. 2021). */
  readonly alibi?: readonly number[];
}

export interface NormAttributes {
  readonly epsilon: number;
  /** Normalises every stretch of so many channels on its own, with one shared weight [perHead]. */
  readonly perHead?: number;
}

/** An operator that has nothing to be told. */
export type NoAttributes = Readonly<Record<string, never>>;

/** What each operator is told besides its inputs. */
export interface OperatorAttributes {
  tokens: NoAttributes;
  weight: { readonly name: string; readonly shape: readonly number[] };
  /** Rows of the table, times `scale` if given. */
  embed: { readonly scale?: number };
  /** Row (position + offset) of the table. */
  positionEmbed: { readonly offset: number };
  /** `name` is that of the weight without `.weight`: what recipes, profiles and calibration call it. */
  linear: { readonly name: string };
  /** x / rms(x) * (weight + weightOffset). */
  rmsNorm: NormAttributes & { readonly weightOffset?: number };
  layerNorm: NormAttributes;
  take: { readonly channels: Int32Array };
  rope: RopeAttributes;
  attention: AttentionAttributes;
  add: NoAttributes;
  /** a * b; b may be a vector, one factor for each channel. */
  mul: NoAttributes;
  silu: NoAttributes;
  /** x Φ(x), with the exact normal distribution. */
  gelu: NoAttributes;
  /** The tanh approximation of gelu (Hendrycks and Gimpel 2016). */
  geluTanh: NoAttributes;
  relu: NoAttributes;
  scale: { readonly factor: number };
  /** cap * tanh(x / cap). */
  softcap: { readonly cap: number };
  clamp: { readonly min: number; readonly max: number };
  /** Only the rows of tokens whose logits are wanted. */
  lastTokens: NoAttributes;
}

export type OperatorName = keyof OperatorAttributes;
