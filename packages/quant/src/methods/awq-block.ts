import { checkOptions, exchangeScales, linearWeight, type LinearGroup, type Tensor, type Weights } from '@llm/tensor';
import type { Block } from '../blocks.ts';
import type { InputStatistics } from '../calibration/statistics.ts';
import type { QuantizationRun } from '../run.ts';
import { scaledStatistics, searchScale, type ScaledLayer } from './awq.ts';

/** Options of the method `awq`. */
export interface AwqOptions {
  /** Exponents that are tried for each exchange of scales. Default 10. */
  readonly steps?: number;
}

/** A block after its scales were exchanged. */
export interface ScaledBlock {
  /** The weights that changed, by name: in exact arithmetic the block computes what it did. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** What the linears' inputs are now. */
  readonly statistics: ReadonlyMap<LinearGroup, InputStatistics>;
}

/** AWQ's exchange of scales: all of a block are searched on the block as it is, then carried out together. */
export async function exchangeByActivations(
  run: QuantizationRun,
  block: Block,
  statistics: ReadonlyMap<LinearGroup, InputStatistics>,
  weights: Weights,
  options: AwqOptions = {},
): Promise<ScaledBlock> {
  checkOptions(options, ['steps'], 'awq');
  const changed = new Map<string, Tensor>();
  const scaled = new Map(statistics);
  const current: Weights = (name) => changed.get(name) ?? weights(name);
  const chosen = new Map<Block['exchanges'][number], Float32Array>();
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
    const [best] = await searchScale(layers, known, { columns: exchange.columns, ...options });
    if (!best) continue;
    chosen.set(exchange, best.factors);
    scaled.set(
      group,
      scaledStatistics(
        known,
        Float32Array.from(exchange.columns, (factor) => best.factors[factor] as number),
      ),
    );
    run.signal?.throwIfAborted();
  }
  for (const [exchange, factors] of chosen)
    for (const [name, tensor] of exchangeScales(exchange, factors, current)) changed.set(name, tensor);
  return { weights: changed, statistics: scaled };
}
