import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import type { Tensor } from '@llm/tensor';
import { TensorStore } from './tensor-store.ts';

const tensor = (rows: number, seed: number): Tensor => ({
  shape: [rows, 4],
  data: Float32Array.from({ length: rows * 4 }, (_, i) => Math.sin(i + seed)),
});

test('what goes beyond the budget goes to disk and comes back the same; nothing stays behind', async () => {
  const parent = await mkdtemp(join(tmpdir(), 'store-'));
  {
    await using store = new TensorStore(200, parent);
    const entries = [[tensor(3, 1), tensor(2, 2)], [tensor(5, 3)], [tensor(6, 4), tensor(1, 5)], []];
    for (const [key, tensors] of entries.entries()) await store.put(key, tensors);
    expect(store.usedBytes).toBeLessThanOrEqual(200);
    expect(await readdir(parent)).toHaveLength(1);
    for (const [key, tensors] of entries.entries()) expect(await store.get(key)).toEqual(tensors);
    await store.put(1, [tensor(1, 9)]);
    await store.put(2, [tensor(2, 8)]);
    expect(await store.get(1)).toEqual([tensor(1, 9)]);
    expect(await store.get(2)).toEqual([tensor(2, 8)]);
    expect(await store.get(7)).toEqual([]);
  }
  expect(await readdir(parent)).toEqual([]);
  await rm(parent, { recursive: true });
});
