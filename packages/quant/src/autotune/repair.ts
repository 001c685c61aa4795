import type { LayerOverride } from '../recipe.ts';
import { allocate, type LayerOption } from './allocation.ts';
import { recipeName, type Candidate } from './candidates.ts';
import type { Trial } from './trial.ts';

/** Shares of the way from the trial's size to all layers at 8 bits that are tried, one after the other. */
const steps = [0.1, 0.25, 0.5, 1];

/** How much harm 8 bits leave of that of 4: the step is 16 times finer, its square error 256 times. */
const harmAt8 = 1 / 256;

/**
 * Mixed-precision recipes that mend a trial which did not pass: within a growing budget of bytes, 8 bits go to the layers where
 * they take off the most error. A layer's harm is its squared relative error times its size.
 */
export function* repairs(trial: Trial): Generator<Candidate> {
  const layers = trial.layers.filter(({ bits }) => bits < 8);
  if (layers.length === 0) return;
  const options = layers.map(({ relativeError, bytesAfter }): LayerOption[] => {
    const harm = relativeError ** 2 * bytesAfter;
    return [
      { cost: bytesAfter, harm },
      { cost: 2 * bytesAfter, harm: harm * harmAt8 },
    ];
  });
  const now = layers.reduce((sum, { bytesAfter }) => sum + bytesAfter, 0);
  for (const step of steps) {
    const choices = allocate(options, Math.floor(now * (1 + step)));
    const raised = layers.filter((_, i) => choices?.[i] === 1);
    if (raised.length === 0) continue;
    const overrides: LayerOverride[] = [
      ...(trial.recipe.layers ?? []),
      ...raised.map(({ weight }) => ({ match: weight, bits: 8, scheme: 'sym' as const })),
    ];
    const recipe = { ...trial.recipe, layers: overrides };
    yield { name: recipeName(recipe), recipe, bitsPerWeight: Number.POSITIVE_INFINITY };
  }
}
