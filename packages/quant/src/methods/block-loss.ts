import { differentiateBlock, evaluateBlock, NativeOperators, type Graph, type Tensor, type Weights } from '@llm/tensor';
import { CalibrationError } from '../errors.ts';

/** What a block reads and what it should give, for some sequences. */
export interface BlockBatch {
  /** In the order of {@link Graph.blockInputs}. */
  readonly inputs: readonly Tensor[];
  /** In the order of {@link Graph.blockOutputs}. */
  readonly targets: readonly Tensor[];
  readonly sequences: readonly number[];
}

/** The distance of a block's outputs from their targets: squared, summed over channels, averaged over tokens. */
export class BlockLoss {
  readonly batches: number;
  readonly #graph: Graph;
  readonly #block: number;
  readonly #load: (batch: number) => Promise<BlockBatch>;
  readonly #native: NativeOperators;

  constructor(
    graph: Graph,
    block: number,
    batches: number,
    load: (batch: number) => Promise<BlockBatch>,
    signal: AbortSignal | undefined,
  ) {
    this.batches = batches;
    this.#graph = graph;
    this.#block = block;
    this.#load = load;
    this.#native = new NativeOperators(signal);
  }

  /** The loss of a batch under these weights. */
  async value(batch: number, weights: Weights): Promise<number> {
    const { inputs, targets, sequences } = await this.#load(batch);
    const native = this.#native;
    const { outputs } = await evaluateBlock(this.#graph, this.#block, inputs, weights, { native, sequences });
    const loss = outputs.reduce((sum, output, i) => sum + distance(output, targets[i] as Tensor), 0);
    for (const { data } of outputs) native.arrays.release(data);
    return loss;
  }

  /** The mean loss of several batches. */
  async mean(batches: readonly number[], weights: Weights): Promise<number> {
    let sum = 0;
    for (const batch of batches) sum += await this.value(batch, weights);
    return sum / batches.length;
  }

  /**
   * The gradients of a batch's loss with respect to the weights that the block's linears read.
   * @param wanted - their names
   * @throws CalibrationError if the loss is not finite
   */
  async gradients(
    batch: number,
    weights: Weights,
    wanted: ReadonlySet<string>,
  ): Promise<ReadonlyMap<string, Float32Array>> {
    const { inputs, targets, sequences } = await this.#load(batch);
    const native = this.#native;
    const result = await evaluateBlock(this.#graph, this.#block, inputs, weights, {
      native,
      sequences,
      keep: true,
    });
    const seeds = result.outputs.map((output, i) => difference(output, targets[i] as Tensor));
    const loss = result.outputs.reduce((sum, output, i) => sum + distance(output, targets[i] as Tensor), 0);
    if (!Number.isFinite(loss))
      throw new CalibrationError(`Block ${this.#block} gives infinite or NaN outputs on the calibration text.`);
    const found = await differentiateBlock(this.#graph, this.#block, result, seeds, {
      native,
      wanted: (node) => node.op === 'weight' && wanted.has(node.attributes.name),
    });
    for (const [node, { data }] of result.values) if (node.op !== 'weight') native.arrays.release(data);
    const gradients = new Map<string, Float32Array>();
    for (const [node, { data }] of found)
      if (node.op === 'weight') gradients.set(node.attributes.name, data as Float32Array);
    return gradients;
  }

  /** Takes back what `gradients` gave, once it is used up. */
  release(gradients: ReadonlyMap<string, Float32Array>): void {
    for (const data of gradients.values()) this.#native.arrays.release(data);
  }
}

function distance(output: Tensor, target: Tensor): number {
  let sum = 0;
  for (let i = 0; i < output.data.length; i++) sum += ((output.data[i] as number) - (target.data[i] as number)) ** 2;
  return sum / (output.shape[0] ?? 1);
}

/** The loss's gradient with respect to the output. */
function difference(output: Tensor, target: Tensor): Tensor {
  const factor = 2 / (output.shape[0] ?? 1);
  const data = new Float32Array(output.data.length);
  for (let i = 0; i < data.length; i++) data[i] = factor * ((output.data[i] as number) - (target.data[i] as number));
  return { shape: output.shape, data };
}

/** Batches to learn from and others to judge by: the same for the whole training, so that the best iterate is no accident. */
export function splitBatches(batches: number): {
  readonly training: readonly number[];
  readonly validation: readonly number[];
} {
  const all = Array.from({ length: batches }, (_, batch) => batch);
  // With few batches there is nothing to hold back: judge by all of them.
  if (batches < 4) return { training: all, validation: all };
  const held = Math.max(1, Math.floor(batches / 8));
  return { training: all.slice(0, -held), validation: all.slice(-held) };
}

/** Goes through batches in random order, again and again. */
export function* shuffledBatches(batches: readonly number[], random: () => number): Generator<number, never> {
  for (;;) {
    const left = [...batches];
    while (left.length > 0) yield left.splice(Math.floor(random() * left.length), 1)[0] as number;
  }
}
