import {
  exchangeScales,
  linearWeight,
  releaseArrays,
  type EquivalentScale,
  type LinearGroup,
  type Node,
  type Tensor,
} from '@llm/tensor';
import { exchangedWeights, type Block } from '../blocks.ts';
import { GraphWalk } from '../calibration/graph-walk.ts';
import { StatisticsCollector, type InputStatistics } from '../calibration/statistics.ts';
import { TensorStore } from '../calibration/tensor-store.ts';
import { RecipeError } from '../errors.ts';
import { dequantizeRows, type QuantizedMatrix } from '../quantized-matrix.ts';
import type { MethodSteps } from '../recipe.ts';
import type { QuantizationRun } from '../run.ts';
import { checkAwqOptions, exchangeByActivations, type AwqOptions } from './awq-block.ts';
import { BlockLoss, type BlockBatch } from './block-loss.ts';
import { SharedFactor, type GptqOptions } from './gptq.ts';
import { InputErrorCollector } from './input-error.ts';
import { roundLinear } from './round-linear.ts';
import { signRound, type SignRoundOptions } from './signround.ts';
import { trainScales, type TeqOptions } from './teq.ts';

/** Options of the method `gptq` on a whole model. */
export interface GptqPipelineOptions extends Omit<GptqOptions, 'inputError' | 'shared' | 'name' | 'clipSearch'> {
  /**
   * Lets every layer make up for what the errors before it did to its input (GPTAQ, Li et al. 2025): the text runs through the
   * model as it was as well. For the method `gptq` alone. Default false.
   */
  readonly correctInputs?: boolean;
}

/** Settings of the calibrated methods. */
export interface CalibratedOptions {
  readonly gptq?: GptqPipelineOptions;
  readonly awq?: AwqOptions;
  readonly teq?: TeqOptions;
  readonly signround?: SignRoundOptions;
  /** Bytes of memory for the hidden states of the calibration text; more goes to disk. Default 1 GiB. */
  readonly memory?: number;
}

/**
 * Quantizes the decoder blocks one after another. The calibration text runs through the model once with the weights as they
 * become, so that every layer sees the errors of those before it; a method that exchanges scales listens to the model as it was,
 * and if it needs nothing else, only that pass is made. What a previous run has finished is taken from there, block by block.
 */
export async function quantizeCalibrated(
  run: QuantizationRun,
  sequences: readonly Int32Array[],
  steps: MethodSteps,
  options: CalibratedOptions,
): Promise<void> {
  const { memory = 2 ** 30 } = options;
  checkAwqOptions(options.awq ?? {});
  const trains = steps.transform === 'teq' || steps.rounding === 'signround';
  const { correctInputs: corrects = false, ...gptqOptions } = options.gptq ?? {};
  if (corrects && (steps.transform !== undefined || steps.rounding !== 'gptq'))
    throw new RecipeError(
      '`gptq.correctInputs` compares with the inputs of the model as it was: use it with method gptq.',
    );
  const scouts = steps.transform !== undefined || trains || corrects;
  const inOrder = trains || !scouts || steps.rounding === 'gptq';
  const passes = (scouts ? 1 : 0) + (inOrder ? 1 : 0);
  await using before = new TensorStore(memory / passes);
  await using after = new TensorStore(memory / passes);
  const walkOptions = {
    ...(run.signal && { signal: run.signal }),
    ...(trains && { batchTokens: trainingBatch(sequences) }),
  };
  const scout = scouts ? new GraphWalk(run.graph, sequences, before, walkOptions) : undefined;
  const walk = inOrder ? new GraphWalk(run.graph, sequences, after, walkOptions) : undefined;
  for (const block of run.blocks) {
    const weights = new BlockWeights(run, block);
    if (weights.finished()) {
      await scout?.advance(block.end, (name) => run.weight(name));
      const stored = walk && (await weights.readBack());
      await walk?.advance(block.end, (name) => stored?.get(name) ?? run.weight(name));
      for (const { data } of stored?.values() ?? []) releaseArrays(data);
      continue;
    }
    let statistics: ReadonlyMap<LinearGroup, InputStatistics> = new Map();
    if (scout && steps.transform === 'awq') statistics = await exchangeByAwq(run, scout, block, weights, options);
    else if (!corrects) await scout?.advance(block.end, (name) => weights.get(name));
    if (scout && walk && trains) await train(run, scout, walk, block, weights, steps, options);
    if (walk) {
      // It listens again, behind what is quantized by then.
      for (const { gram } of statistics.values()) releaseArrays(gram);
      await roundInOrder(run, walk, block, weights, gptqOptions, corrects ? scout : undefined);
    } else
      for (const [group, known] of statistics) {
        await roundGroup(run, group, known, weights, gptqOptions);
        releaseArrays(known.gram);
        weights.releaseFinished(group);
      }
    await weights.writeChanged();
    weights.release();
  }
}

/** Batches on which AWQ compares the outputs of a block. */
const JUDGED_BATCHES = 4;

/** Tokens of a training step: up to 8 sequences, fewer where that leaves too few steps between two passes over the text. */
function trainingBatch(sequences: readonly Int32Array[]): number {
  const together = Math.max(1, Math.min(8, Math.floor(sequences.length / 8)));
  return together * (sequences[0]?.length ?? 1);
}

/** TEQ and SignRound: what the block reads now against what it gave before anything was quantized. */
async function train(
  run: QuantizationRun,
  scout: GraphWalk,
  walk: GraphWalk,
  block: Block,
  weights: BlockWeights,
  steps: MethodSteps,
  options: CalibratedOptions,
): Promise<void> {
  const { graph } = run;
  await walk.advance(block.begin, (name) => run.weight(name));
  const [inputs, outputs] = [graph.blockInputs(block.index), graph.blockOutputs(block.index)];
  const load = async (batch: number): Promise<BlockBatch> => ({
    inputs: await walk.read(batch, inputs),
    targets: await scout.read(batch, outputs),
    sequences: walk.sequenceLengths(batch),
  });
  const loss = new BlockLoss(graph, block.index, walk.batches, load, run.signal);
  const planned = block.weights.flatMap((name) => {
    const target = run.targets.get(name);
    const plan = target && run.plans.get(target);
    return target && plan ? [{ name, target, plan }] : [];
  });
  if (steps.transform === 'teq') {
    const grids = new Map(planned.map(({ name, plan }) => [name, plan.grid]));
    const { factors } = await trainScales(loss, block.exchanges, grids, (name) => weights.get(name), options.teq);
    weights.exchange(factors);
  }
  if (steps.rounding !== 'signround') return;
  const trained = planned.filter(({ plan }) => plan.method === 'signround');
  const linears = trained.map(({ name, target, plan }) => ({
    name,
    weights: weights.get(name).data as Float32Array,
    columns: target.columns,
    grid: plan.grid,
  }));
  if (linears.length === 0) return;
  const trainedBlock = await signRound(loss, linears, (name) => weights.get(name), options.signround);
  for (const { name, target } of trained) {
    const matrix = trainedBlock.matrices.get(name);
    if (!matrix) continue;
    const details = { blockError: trainedBlock.loss, roundingBlockError: trainedBlock.roundingLoss };
    await run.writeMatrix(target, matrix, weights.get(name).data as Float32Array, details);
    weights.setQuantized(name, matrix);
  }
}

/** Listens to the whole block as it was, and exchanges its scales. @returns what the linears' inputs are then */
async function exchangeByAwq(
  run: QuantizationRun,
  walk: GraphWalk,
  block: Block,
  weights: BlockWeights,
  options: CalibratedOptions,
): Promise<ReadonlyMap<LinearGroup, InputStatistics>> {
  const { graph } = run;
  const statistics = new Map<LinearGroup, InputStatistics>();
  const judged: (Pick<BlockBatch, 'inputs'> & { readonly batch: number })[] = [];
  if (options.awq?.objective === 'block') {
    await walk.advance(block.begin, (name) => run.weight(name));
    // As many batches as are soon computed, spread over the text.
    const step = Math.ceil(walk.batches / JUDGED_BATCHES);
    for (let batch = 0; batch < walk.batches; batch += step)
      judged.push({ batch, inputs: (await walk.read(batch, graph.blockInputs(block.index))).map(copyOf) });
  }
  for (const group of block.groups) statistics.set(group, await listen(run, walk, group, weights));
  await walk.advance(block.end, (name) => weights.get(name));
  const load = async (index: number): Promise<BlockBatch> => {
    const { batch, inputs } = judged[index] as (typeof judged)[number];
    const targets = await walk.read(batch, graph.blockOutputs(block.index));
    return { inputs, targets, sequences: walk.sequenceLengths(batch) };
  };
  const loss = judged.length === 0 ? undefined : new BlockLoss(graph, block.index, judged.length, load, run.signal);
  const scaled = await exchangeByActivations(run, block, statistics, (name) => weights.get(name), options.awq, loss);
  weights.exchange(scaled.factors);
  return scaled.statistics;
}

/** For a value that is read after the walk has gone on, which uses its memory again. */
function copyOf({ shape, data }: Tensor): Tensor {
  return { shape, data: data.slice() };
}

/**
 * GPTQ and plain rounding: each group of linears with the statistics of its input behind everything quantized before.
 * @param original - runs through the model as it was, where inputs are compared with it
 */
async function roundInOrder(
  run: QuantizationRun,
  walk: GraphWalk,
  block: Block,
  weights: BlockWeights,
  options: Omit<GptqPipelineOptions, 'correctInputs'>,
  original: GraphWalk | undefined,
): Promise<void> {
  for (const group of block.groups) {
    const statistics = await listen(run, walk, group, weights);
    weights.releaseBefore(group.linears[0]);
    let inputError: Float32Array | undefined;
    if (original) {
      await original.advance(group.linears[0], (name) => run.weight(name));
      const collector = new InputErrorCollector(statistics.columns);
      for (let batch = 0; batch < walk.batches; batch++) {
        const [exact] = await original.read(batch, [group.input]);
        const [now] = await walk.read(batch, [group.input]);
        if (exact && now) await collector.add(exact, now);
      }
      inputError = collector.finish();
    }
    await roundGroup(run, group, statistics, weights, options, inputError);
    releaseArrays(statistics.gram, inputError);
  }
  await original?.advance(block.end, (name) => run.weight(name));
  await walk.advance(block.end, (name) => weights.get(name));
}

async function listen(
  run: QuantizationRun,
  walk: GraphWalk,
  group: LinearGroup,
  weights: BlockWeights,
): Promise<InputStatistics> {
  const [first] = group.linears;
  const columns = (first && linearWeight(first).attributes.shape[1]) ?? 1;
  const collector = new StatisticsCollector(columns, first?.attributes.name ?? 'linear');
  await walk.advance(
    first,
    (name) => weights.get(name),
    group.input,
    (x) => collector.add(x),
  );
  run.signal?.throwIfAborted();
  return collector.finish();
}

async function roundGroup(
  run: QuantizationRun,
  group: LinearGroup,
  statistics: InputStatistics,
  weights: BlockWeights,
  options: Omit<GptqPipelineOptions, 'correctInputs'>,
  inputError?: Float32Array,
): Promise<void> {
  using shared = new SharedFactor();
  const gptq: GptqOptions = { ...options, shared, ...(inputError && { inputError }) };
  for (const linear of group.linears) {
    const { name } = linearWeight(linear).attributes;
    const target = run.targets.get(name);
    const plan = target && run.plans.get(target);
    if (!target || !plan || plan.method === 'signround') continue;
    const original = weights.get(name).data as Float32Array;
    const { matrix, details } = await roundLinear(original, statistics, plan, name, gptq);
    await run.writeMatrix(target, matrix, original, details);
    weights.setQuantized(name, matrix);
  }
}

/** The weights of a block as they are at the moment. */
class BlockWeights {
  readonly #run: QuantizationRun;
  readonly #block: Block;
  readonly #values = new Map<string, Tensor>();

  constructor(run: QuantizationRun, block: Block) {
    this.#run = run;
    this.#block = block;
  }

  get(name: string): Tensor {
    const known = this.#values.get(name);
    if (known) return known;
    const value = this.#run.weight(name);
    if (this.#block.weights.includes(name)) this.#values.set(name, value);
    return value;
  }

  /** Carries exchanges of scales out, in the order given. */
  exchange(factors: ReadonlyMap<EquivalentScale, ArrayLike<number>>): void {
    for (const [exchange, values] of factors)
      for (const [name, tensor] of exchangeScales(exchange, values, (weight) => this.get(weight))) {
        releaseArrays(this.#values.get(name)?.data);
        this.#values.set(name, tensor);
      }
  }

  setQuantized(name: string, matrix: QuantizedMatrix): void {
    // In the memory of what it replaces.
    const data = this.get(name).data as Float32Array;
    dequantizeRows(matrix, 0, data);
    this.#values.set(name, { shape: [matrix.rows, matrix.columns], data });
  }

  /** Frees the weights that are in the output already and that no node from `node` on reads. */
  releaseBefore(node: Node | undefined): void {
    const [begin, end] = [node?.id ?? Infinity, this.#block.end?.id ?? Infinity];
    const read = new Set(this.#run.graph.nodes.slice(begin, end).flatMap(({ inputs }) => inputs));
    const names = new Set([...read].flatMap((input) => (input.op === 'weight' ? [input.attributes.name] : [])));
    for (const name of this.#values.keys()) if (this.#run.isFinished(name) && !names.has(name)) this.#free(name);
  }

  /** Frees the weights of linears that nothing reads any more: they are in the output, and no walk is still to come through here. */
  releaseFinished({ linears }: LinearGroup): void {
    for (const linear of linears) {
      const { name } = linearWeight(linear).attributes;
      if (this.#values.has(name) && this.#run.isFinished(name)) this.#free(name);
    }
  }

  /** Frees everything. */
  release(): void {
    for (const name of this.#values.keys()) this.#free(name);
  }

  #free(name: string): void {
    releaseArrays(this.#values.get(name)?.data);
    // Empty, not forgotten: nobody shall get the weight as it was instead.
    this.#values.set(name, { shape: [0], data: new Float32Array(0) });
  }

  /** Whether everything that the block contributes to the output is there. */
  finished(): boolean {
    return this.#outputs().every((name) => this.#run.isFinished(name));
  }

  async readBack(): Promise<Map<string, Tensor>> {
    const values = new Map<string, Tensor>();
    for (const name of this.#outputs()) values.set(name, await this.#run.readBack(name));
    return values;
  }

  /** Writes those that may have changed and stay dense. */
  async writeChanged(): Promise<void> {
    for (const name of this.#outputs())
      if (!this.#run.targets.has(name)) await this.#run.writeDense(name, this.get(name).data as Float32Array);
  }

  #outputs(): string[] {
    const changed = new Set(this.#block.exchanges.flatMap(exchangedWeights));
    return this.#block.weights.filter((name) => this.#run.targets.has(name) || changed.has(name));
  }
}
