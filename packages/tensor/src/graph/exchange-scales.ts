import { ShapeMismatchError } from '../errors.ts';
import { columnCount, mapTensor, type Tensor } from '../tensor.ts';
import type { EquivalentScale } from './equivalent-scales.ts';
import type { Weights } from './evaluate.ts';
import { linearWeight } from './linears.ts';

/**
 * Carries an exchange out: returns the weights that change, by name. In exact arithmetic the model computes what it did.
 *
 * @param factors one positive number per factor of the exchange
 */
export function exchangeScales(
  exchange: EquivalentScale,
  factors: ArrayLike<number>,
  weights: Weights,
): ReadonlyMap<string, Tensor> {
  if (factors.length !== exchange.factors) {
    throw new ShapeMismatchError(`This exchange has ${exchange.factors} factors, not ${factors.length}.`);
  }
  const factor = (index: number | undefined): number =>
    index === undefined || index < 0 ? 1 : (factors[index] as number);
  const changed = new Map<string, Tensor>();
  for (const linear of exchange.linears) {
    const { name } = linearWeight(linear).attributes;
    const weight = weights(name);
    const columns = columnCount(weight);
    changed.set(
      name,
      mapTensor(weight, (value, i) => value * factor(exchange.columns[i % columns])),
    );
  }
  const { absorber, channels } = exchange;
  const offset = absorber.op === 'rmsNorm' ? (absorber.attributes.weightOffset ?? 0) : 0;
  for (const node of absorber.inputs.slice(1)) {
    if (node.op !== 'weight') continue;
    const { name } = node.attributes;
    const weight = weights(name);
    const rowLength = weight.data.length / channels.length;
    changed.set(
      name,
      mapTensor(weight, (value, i) => (value + offset) / factor(channels[Math.floor(i / rowLength)]) - offset),
    );
  }
  return changed;
}
