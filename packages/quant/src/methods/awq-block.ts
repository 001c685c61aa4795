import {
  checkOptions,
  InvalidOptionError,
  linearWeight,
  type EquivalentScale,
  type LinearGroup,
  type Tensor,
  type Weights,
} from '@llm/tensor';
import type { Block } from '../blocks.ts';
import type { InputStatistics } from '../calibration/statistics.ts';
import type { QuantizationRun } from '../run.ts';
import { roundScaled, scaledStatistics, searchScale, type ScaleCandidate, type ScaledLayer } from './awq.ts';
import type { BlockLoss } from './block-loss.ts';

/** Options of the method `awq`. */
export interface AwqOptions {
  /** Exponents that are tried for each exchange of scales. Default 10. */
  readonly steps?: number;
  /**
   * What decides between candidates. `gram`: the summed output error of the linears that an exchange scales, over all tokens.
   * `block`: the error of the block's output, on some batches, among the candidates that are best by `gram` and all ones. Default
   * `gram`.
   */
  readonly objective?: 'gram' | 'block';
}

/** Candidates that `block` compares besides all ones. */
const FINALISTS = 4;

/** The exchanges of scales that were chosen for a block. */
export interface ChosenScales {
  readonly factors: ReadonlyMap<EquivalentScale, Float32Array>;
  /** What the linears' inputs are once they are carried out. */
  readonly statistics: ReadonlyMap<LinearGroup, InputStatistics>;
}

/** @throws InvalidOptionError */
export function checkAwqOptions(options: AwqOptions): void {
  checkOptions(options, ['steps', 'objective'], 'awq');
  const { objective = 'gram' } = options;
  if (!objectives.includes(objective)) throw new InvalidOptionError('objective', objective, objectives);
}

const objectives: readonly string[] = ['gram', 'block'];

/**
 * AWQ's exchanges of scales, all of a block searched on the block as it is, to be carried out together afterwards. The statistics given
 * are used up.
 * @param loss - compares blocks by their outputs; without it the Gram matrices alone decide
 */
export async function exchangeByActivations(
  run: QuantizationRun,
  block: Block,
  statistics: ReadonlyMap<LinearGroup, InputStatistics>,
  weights: Weights,
  options: AwqOptions = {},
  loss?: BlockLoss,
): Promise<ChosenScales> {
  const { steps } = options;
  const scaled = new Map(statistics);
  const factors = new Map<EquivalentScale, Float32Array>();
  for (const exchange of block.exchanges) {
    const group = block.groups.find(({ linears }) => linears[0] === exchange.linears[0]);
    const known = group && statistics.get(group);
    if (!group || !known) continue;
    const layers = exchange.linears.flatMap((linear): ScaledLayer[] => {
      const { name } = linearWeight(linear).attributes;
      const target = run.targets.get(name);
      const plan = target && run.plans.get(target);
      return plan ? [{ weights: weights(name).data as Float32Array, grid: plan.grid, name }] : [];
    });
    const { columns } = exchange;
    const candidates = await searchScale(layers, known, { columns, ...(steps !== undefined && { steps }) });
    const best = loss ? await bestForBlock(loss, candidates, layers, columns, weights) : candidates[0];
    if (!best) continue;
    factors.set(exchange, best.factors);
    scaled.set(
      group,
      scaledStatistics(
        known,
        Float32Array.from(exchange.columns, (factor) => best.factors[factor] as number),
      ),
    );
    run.signal?.throwIfAborted();
  }
  return { factors, statistics: scaled };
}

/** The candidate with the least error of the block's output when only the layers of this exchange are rounded. */
async function bestForBlock(
  loss: BlockLoss,
  candidates: readonly ScaleCandidate[],
  layers: readonly ScaledLayer[],
  columns: Int32Array,
  weights: Weights,
): Promise<ScaleCandidate | undefined> {
  const identity = candidates.find(({ factors }) => factors.every((factor) => factor === 1));
  const finalists = new Set([...(identity ? [identity] : []), ...candidates.slice(0, FINALISTS)]);
  const batches = Array.from({ length: loss.batches }, (_, batch) => batch);
  let best: ScaleCandidate | undefined;
  let least = Infinity;
  for (const candidate of finalists) {
    const rounded = new Map<string, Tensor>();
    for (const layer of layers) {
      const data = await roundScaled(layer, candidate.factors, columns);
      rounded.set(layer.name ?? '', { shape: [data.length / columns.length, columns.length], data });
    }
    const error = await loss.mean(batches, (name) => rounded.get(name) ?? weights(name));
    if (error >= least) continue;
    least = error;
    best = candidate;
  }
  return best;
}
