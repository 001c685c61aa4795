import type { Graph, Node } from '@llm/tensor';
import type { z } from 'zod';

import { Builder } from './architectures/builder.ts';
import { InvalidConfigError } from './errors.ts';

/** The keys of a Hugging Face config.json. */
export type HfConfig = Readonly<Record<string, unknown>>;

/** A model's forward pass. */
export interface ForwardPass {
  readonly graph: Graph;
  /** [O, vocabulary] */
  readonly logits: Node;
  /** What the head reads: the last hidden states, normalised. [O, columns] */
  readonly hidden: Node;
  /** Rows of the head; may be more than the tokenizer has. */
  readonly vocabularySize: number;
  /** Tokens that the model was made for. */
  readonly contextLength: number;
}

/** What an architecture can ask of a GGUF file. Tensor names are those of the file. */
export interface GgufFile {
  /** All metadata by full key, arrays as arrays. */
  readonly metadata: ReadonlyMap<string, unknown>;
  has(tensor: string): boolean;
  /** Row-major: outputs, then inputs. */
  shape(tensor: string): readonly number[];
  /** As float32, dequantized. */
  read(tensor: string): Float32Array;
}

/** How GGUF files store the architecture. */
export interface GgufMapping {
  /** `general.architecture`. */
  readonly architecture: string;
  /** Names of tensors in the file and in the Hugging Face checkpoint; `#` stands for the layer's number. */
  readonly tensors: Readonly<Record<string, string>>;
  /**
   * Where the file has a weight's rows in another order than the Hugging Face checkpoint: row r of the checkpoint is row order[r]
   * of the file. Undefined where they agree. Holds for weights and biases.
   *
   * @param name of the weight in the checkpoint
   */
  rowOrder?(name: string, config: HfConfig): Int32Array | undefined;
  /** What the file's value has more than the checkpoint's: 1 for the norms of Gemma; default 0. */
  offset?(name: string): number;
  /** Keys of config.json with texts that GGUF has no word for: written after the architecture's name, as they are. */
  readonly ownKeys?: readonly string[];
  /** The keys of config.json that `build` reads, out of the metadata. */
  config(file: GgufFile): HfConfig;
}

/** All that is known about one family of models, besides what its checkpoints say themselves. */
export interface Architecture {
  /** The name in lists and messages. */
  readonly name: string;
  /** The `model_type`s of config.json that it covers. */
  readonly modelTypes: readonly string[];
  /** The config, checked, with defaults filled in. @throws {@link InvalidConfigError} naming the key */
  readonly parse: (config: HfConfig) => HfConfig;
  /** The forward pass. @throws {@link InvalidConfigError} naming the key */
  readonly build: (config: HfConfig) => ForwardPass;
  /** Other names under which checkpoints store the weight, the likeliest first. */
  readonly aliases: (name: string) => readonly string[];
  /** Whether Hugging Face checkpoints store this weight as [inputs, outputs] (GPT-2's Conv1D). GGUF files never do. */
  readonly isTransposed: (name: string) => boolean;
  readonly gguf?: GgufMapping;
}

export interface ArchitectureDescription<Schema extends z.ZodType<object>> {
  readonly name: string;
  readonly modelTypes: readonly string[];
  readonly schema: Schema;
  /** Writes the forward pass. */
  forward(g: Builder, config: z.output<Schema>): Omit<ForwardPass, 'graph'>;
  /** Groups of names of one tied weight. */
  readonly tied?: readonly (readonly string[])[];
  /** A prefix of all names that some checkpoints leave out. */
  readonly optionalPrefix?: string;
  /** Further names of a weight. */
  alias?(name: string): readonly string[];
  isTransposed?(name: string): boolean;
  readonly gguf?: GgufMapping;
}

const INPUT_SCALES = 'quantization_config.input_scales';

/** The linears with a scaled input, as a packed folder's config names them. */
function inputScales({ quantization_config: quantization }: HfConfig): readonly string[] {
  if (typeof quantization !== 'object' || quantization === null) return [];
  const names = (quantization as HfConfig)['input_scales'] ?? [];
  if (Array.isArray(names) && names.every((name) => typeof name === 'string')) return names;
  throw new InvalidConfigError('config.json', INPUT_SCALES, 'it must be a list of linears');
}

/** Makes an architecture from its schema and its forward pass. */
export function defineArchitecture<Schema extends z.ZodType<object>>(
  description: ArchitectureDescription<Schema>,
): Architecture {
  const { name, modelTypes, schema, tied = [], optionalPrefix, gguf } = description;
  const parse = (config: HfConfig): z.output<Schema> => {
    const parsed = schema.safeParse(config);
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    throw new InvalidConfigError('config.json', issue?.path.join('.') ?? '', issue?.message ?? 'is not usable', {
      cause: parsed.error,
    });
  };
  return {
    name,
    modelTypes,
    parse: (config) => ({ ...config, ...parse(config) }),
    build(config) {
      const builder = new Builder(inputScales(config));
      const pass = { graph: builder.graph, ...description.forward(builder, parse(config)) };
      const [unknown] = builder.pendingInputScales;
      if (unknown === undefined) return pass;
      throw new InvalidConfigError('config.json', INPUT_SCALES, `the model has no linear ${unknown}`);
    },
    aliases(weight) {
      const same = [
        weight,
        ...(tied.find((names) => names.includes(weight)) ?? []).filter((other) => other !== weight),
      ];
      const short = optionalPrefix === undefined ? [] : same.filter((other) => other.startsWith(optionalPrefix));
      const others = description.alias?.(weight) ?? [];
      return [...same.slice(1), ...short.map((other) => other.slice(optionalPrefix?.length)), ...others];
    },
    isTransposed: (weight) => description.isTransposed?.(weight) ?? false,
    ...(gguf && { gguf }),
  };
}
