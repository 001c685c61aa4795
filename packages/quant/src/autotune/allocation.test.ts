import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { allocate, type LayerOption } from './allocation.ts';

const option = fc.record({ cost: fc.integer({ min: 1, max: 30 }), harm: fc.integer({ min: 0, max: 100 }) });
const model = fc.array(fc.array(option, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 6 });

function harmOf(
  layers: readonly (readonly LayerOption[])[],
  choices: readonly number[],
): { cost: number; harm: number } {
  const chosen = choices.map((choice, i) => layers[i]![choice]!);
  return { cost: chosen.reduce((sum, o) => sum + o.cost, 0), harm: chosen.reduce((sum, o) => sum + o.harm, 0) };
}

function bruteForce(layers: readonly (readonly LayerOption[])[], budget: number): number | undefined {
  const all = layers.reduce<number[][]>(
    (lists, options) => lists.flatMap((list) => options.map((_, i) => [...list, i])),
    [[]],
  );
  const fitting = all.map((choices) => harmOf(layers, choices)).filter(({ cost }) => cost <= budget);
  return fitting.length === 0 ? undefined : Math.min(...fitting.map(({ harm }) => harm));
}

test('as good as trying everything, and never over the budget', () => {
  fc.assert(
    fc.property(model, fc.integer({ min: 1, max: 180 }), (layers, budget) => {
      const choices = allocate(layers, budget);
      const best = bruteForce(layers, budget);
      expect(choices === undefined).toBe(best === undefined);
      if (choices) {
        const { cost, harm } = harmOf(layers, choices);
        expect(cost).toBeLessThanOrEqual(budget);
        expect(harm).toBe(best);
      }
    }),
  );
});

test('a larger budget never harms more', () => {
  fc.assert(
    fc.property(model, fc.integer({ min: 1, max: 100 }), fc.integer({ min: 0, max: 80 }), (layers, budget, more) => {
      const small = allocate(layers, budget);
      const large = allocate(layers, budget + more);
      if (small) expect(harmOf(layers, large!).harm).toBeLessThanOrEqual(harmOf(layers, small).harm);
    }),
  );
});
