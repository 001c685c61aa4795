import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { openCheckpoint } from '@llm/models';
import { evaluate, linearsByInput, linearWeight, type Tensor } from '@llm/tensor';
import { writeTinyModel } from '../testing/tiny-model.ts';
import { GraphWalk } from './graph-walk.ts';
import { TensorStore } from './tensor-store.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'walk-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const sequences = [5, 9, 12, 7, 9].map((length, s) => Int32Array.from({ length }, (_, i) => (i * 31 + s * 17) % 90));

for (const kind of ['llama', 'neox'] as const)
  test(`${kind}: stopping before every linear changes nothing, and weights may change at each stop`, async () => {
    const path = join(folder, kind);
    await writeTinyModel(path, kind);
    using checkpoint = await openCheckpoint(path);
    const { graph, logits } = checkpoint.architecture.build(checkpoint.config);
    const shapes = new Map(
      graph.nodes.flatMap((node) => (node.op === 'weight' ? [[node.attributes.name, node.attributes.shape]] : [])),
    );
    const changed = new Map<string, Tensor>();
    const weights = (name: string): Tensor =>
      changed.get(name) ?? { shape: shapes.get(name) ?? [], data: checkpoint.read(name) };

    await using store = new TensorStore(4000);
    const walk = new GraphWalk(graph, sequences, store, { batchTokens: 16 });
    expect(walk.batches).toBe(3);
    expect(walk.tokens).toBe(42);
    const inputs: number[] = [];
    for (const { input, linears } of linearsByInput(graph)) {
      const [first] = linears;
      let rows = 0;
      await walk.advance(first, weights, input, (x) => {
        rows += x.shape[0] ?? 0;
      });
      inputs.push(rows);
      // What comes behind has to see this.
      for (const linear of linears) {
        const { name } = linearWeight(linear).attributes;
        const { shape, data } = weights(name);
        changed.set(name, { shape, data: data.map((w) => w * 0.9) });
      }
    }
    expect(new Set(inputs)).toEqual(new Set([42]));
    const found: number[] = [];
    await walk.advance(undefined, weights, logits, (x) => {
      found.push(...x.data);
    });

    const whole = sequences.flatMap((tokens) => [...(evaluate(graph, tokens, weights).get(logits)?.data ?? [])]);
    expect(found).toHaveLength(whole.length);
    const worst = found.reduce((top, value, i) => Math.max(top, Math.abs(value - (whole[i] ?? NaN))), 0);
    expect(worst).toBeLessThan(1e-4);
  });
