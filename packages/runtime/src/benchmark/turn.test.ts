import { architectureOf } from '@llm/models';
import { expect, test } from '@jest/globals';
import { syntheticProgram } from './benchmark.ts';
import { shapeNamed } from './shapes.ts';
import { articleShapes, decodeMilliseconds, measureTurn, syntheticBytes } from './turn.ts';

test('a turn of a synthetic model: times are ordered and its weights are those of the shape', async () => {
  const { program, weights } = syntheticProgram('pythia-160m', { threads: 1, groupSize: 128, contextLength: 64 });
  try {
    const turn = await measureTurn(program, 1, { prompt: 8, generate: 3, rounds: 2 });
    expect(turn).toMatchObject({ prompt: 8, generate: 3 });
    expect(turn.firstToken.min).toBeGreaterThan(0);
    expect(turn.nextToken.min).toBeGreaterThan(0);
    // 12 blocks of 12 x 768², and the head; 4 bits and a half-precision scale for each 128.
    const perWeight = (4 + 16 / 128) / 8;
    expect(turn.bytesPerToken).toBeCloseTo((12 * 12 * 768 ** 2 + 50304 * 768) * perWeight, -3);
    // Of one token there is no time to the next.
    await expect(measureTurn(program, 1, { generate: 1 })).rejects.toThrow('generate=1');
    // Two ways to tell the same: by when tokens come, and by when answers end.
    const milliseconds = await decodeMilliseconds(program, { generate: 8, rounds: 2 });
    expect(milliseconds).toBeGreaterThan(turn.nextToken.min / 20);
    expect(milliseconds).toBeLessThan(turn.firstToken.max * 20);
    // The share of each turn lies between those of the extremes.
    const { nextToken, readBandwidth, fractionOfReadBandwidth, bytesPerToken } = turn;
    const share = (milliseconds: number, bandwidth: number): number =>
      (bytesPerToken / milliseconds / bandwidth) * 1000;
    expect(fractionOfReadBandwidth.min).toBeGreaterThan(share(nextToken.max, readBandwidth.max) * 0.999);
    expect(fractionOfReadBandwidth.max).toBeLessThan(share(nextToken.min, readBandwidth.min) * 1.001);
  } finally {
    await program.dispose();
    weights[Symbol.dispose]();
  }
});

// Parameters as their authors publish them, without embeddings of positions.
test.each([
  ['gpt-j-6b', 6.05e9],
  ['llama-2-7b', 6.74e9],
  ['falcon-7b', 6.92e9],
  ['gpt-neox-20b', 20.55e9],
])('%s has as many parameters as the published model', (name, parameters) => {
  const config = shapeNamed(name);
  expect(articleShapes).toContain(name);
  const { graph } = architectureOf(config).build(config);
  const sizes = graph.nodes.flatMap((node) =>
    node.op === 'weight' ? [(node.shape as readonly number[]).reduce((product, size) => product * size, 1)] : [],
  );
  const total = sizes.reduce((sum, size) => sum + size, 0);
  expect(Math.abs(total / parameters - 1)).toBeLessThan(0.005);
  // 4 bits and a half-precision scale for each 32.
  expect(syntheticBytes(name, 32) / ((total * 4.5) / 8)).toBeCloseTo(1, 2);
});
