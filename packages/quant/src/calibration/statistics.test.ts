import { expect, test } from '@jest/globals';
import { CalibrationError } from '../errors.ts';
import { collectStatistics, StatisticsCollector } from './statistics.ts';

const [tokens, columns] = [50, 12];
const x = Float32Array.from({ length: tokens * columns }, (_, i) => Math.sin(i * i) * (1 + (i % columns)));

test('statistics are those of the definition, in one part or many', async () => {
  const whole = await collectStatistics(x, columns);
  const collector = new StatisticsCollector(columns, 'layer');
  for (let t = 0; t < tokens; t += 7) {
    const data = x.slice(t * columns, (t + 7) * columns);
    await collector.add({ shape: [data.length / columns, columns], data });
  }
  const parts = collector.finish();
  for (const found of [whole, parts]) {
    expect(found.tokens).toBe(tokens);
    for (let i = 0; i < columns; i++) {
      let absolute = 0;
      for (let t = 0; t < tokens; t++) absolute += Math.abs(x[t * columns + i] ?? NaN) / tokens;
      expect(found.meanAbsolute[i]).toBeCloseTo(absolute, 4);
      expect(found.meanSquare[i]).toBe(found.gram[i * columns + i]);
      for (let j = 0; j < columns; j++) {
        let product = 0;
        for (let t = 0; t < tokens; t++) product += ((x[t * columns + i] ?? 0) * (x[t * columns + j] ?? 0)) / tokens;
        expect(found.gram[i * columns + j]).toBeCloseTo(product, 3);
        expect(found.gram[i * columns + j]).toBe(found.gram[j * columns + i]);
      }
    }
  }
});

test('activations that are not finite, and none at all, are said with the layer', async () => {
  const collector = new StatisticsCollector(2, 'model.layers.3.mlp.down_proj');
  expect(() => collector.finish()).toThrow(CalibrationError);
  for (const value of [NaN, Infinity])
    await expect(collector.add({ shape: [1, 2], data: Float32Array.of(1, value) })).rejects.toThrow(
      'model.layers.3.mlp.down_proj: input 1 became infinite or NaN',
    );
  await expect(collector.add({ shape: [1, 3], data: new Float32Array(3) })).rejects.toThrow('rows of 3');
});
