import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openCheckpoint } from '@llm/models';
import { InvalidOptionError } from '@llm/tensor';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Model } from '../model.ts';
import { syntheticProgram } from './benchmark.ts';
import { saveSynthetic } from './save-synthetic.ts';

describe('saveSynthetic()', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'llm-synthetic-'));
    await saveSynthetic('smollm2-135m', folder, { groupSize: 64 });
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('writes a packed folder that is mapped, with a tokenizer of all its words', async () => {
    using checkpoint = await openCheckpoint(folder);
    expect(checkpoint.format).toBe('packed');
    const matrix = checkpoint.matrix('model.layers.0.mlp.down_proj.weight');
    expect(matrix).toMatchObject({ format: 'int4-sym', rows: 576, columns: 1536, groupSize: 64 });
    const tokenizer = await checkpoint.tokenizer();
    expect(tokenizer.encode('w7 w49151 unknown')).toEqual([7, 49151, 0]);
    expect(tokenizer.vocabularySize).toBe(49152);
  });

  test('computes what the program in memory computes', async () => {
    const ids = Int32Array.of(5, 1, 40000, 9);
    await using model = await Model.load(folder, { threads: 1, contextLength: 64, kvCache: { type: 'f16' } });
    const { program, weights } = syntheticProgram('smollm2-135m', { threads: 1, groupSize: 64, contextLength: 64 });
    try {
      using sequence = program.createSequence();
      const expected = await program.forward(sequence, ids);
      expect(await model.logits([...ids], { positions: 'last' })).toEqual(expected);
    } finally {
      await program.dispose();
      weights[Symbol.dispose]();
    }
  });

  test('names the shapes there are, and leaves nothing', async () => {
    const other = join(folder, 'other');
    await expect(saveSynthetic('llama-9', other)).rejects.toThrow(InvalidOptionError);
    expect(await readdir(folder)).not.toContain('other');
  });
});
