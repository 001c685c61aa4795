import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { backend } from './backend/load.ts';
import { applyThresholds, readThresholds, thresholdsPath, writeThresholds } from './backend/stored-thresholds.ts';
import { describeKernels } from './kernels.ts';
import { tuneKernels } from './tune-kernels.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'llm-tune-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

test('what is measured is used at once and read back by the next process', () => {
  const path = join(folder, 'deep', 'kernels.json');
  const stages: number[] = [];
  const thresholds = tuneKernels({ size: 64, threads: 1, path, onProgress: ({ done }) => stages.push(done) });
  expect(stages).toEqual([0, 1, 2, 3, 4, 5]);
  expect(Object.values(thresholds).every((rows) => Number.isInteger(rows) && rows >= 0)).toBe(true);
  expect(readThresholds(path)).toEqual(thresholds);
});

test('the selector follows thresholds wherever the table has a panel', () => {
  const weight = { format: 'int4-asym', rows: 64, columns: 256, groupSize: 32 } as const;
  const { addon } = backend();
  addon.forceMatmul('panel');
  const hasPanel = describeKernels(weight, { rows: [512] })[0]?.kernel === 'panel';
  addon.forceMatmul('');
  applyThresholds(addon, { 'zero-points-short': 24, 'of another version': 3 });
  const kernels = describeKernels(weight, { rows: [23, 24] }).map(({ kernel }) => kernel);
  expect(kernels).toEqual(hasPanel ? ['rows', 'panel'] : [kernels[0], kernels[0]]);
  applyThresholds(addon, { 'zero-points-short': 0 });
  expect(describeKernels(weight, { rows: [512] })[0]?.kernel).not.toBe('panel');
});

test('files that are missing, of another machine or broken count as none', () => {
  const path = join(folder, 'kernels.json');
  expect(readThresholds(path)).toBeUndefined();
  expect(writeThresholds({ tiles: 16 }, path)).toBe(true);
  expect(readThresholds(path)).toEqual({ tiles: 16 });
  const text = readFileSync(path, 'utf8');
  for (const broken of ['', 'null', text.slice(0, -5), text.replace('16', '-1'), text.replace(process.arch, 'vax')]) {
    writeFileSync(path, broken);
    expect(readThresholds(path)).toBeUndefined();
  }
  const file = join(folder, 'a-file');
  writeFileSync(file, '');
  expect(writeThresholds({ tiles: 16 }, join(file, 'kernels.json'))).toBe(false);
  expect(thresholdsPath({ LLM_CACHE: '/a' })).toBe(join('/a', 'kernels.json'));
  expect(thresholdsPath({ XDG_CACHE_HOME: '/b' })).toBe(join('/b', 'llm', 'kernels.json'));
});
