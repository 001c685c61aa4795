import { describe, expect, test } from '@jest/globals';
import { ropeFrequencies, ropeTable } from './rope-table.ts';

const plain = { rotaryDim: 8, theta: 10_000 };

describe('ropeFrequencies', () => {
  test('are powers of theta', () => {
    expect([...ropeFrequencies(plain, 1)]).toEqual([1, 0.1, 0.01, 0.001].map((f) => expect.closeTo(f, 12)));
  });

  test('linear scaling divides all of them', () => {
    const scaled = ropeFrequencies({ ...plain, scaling: { type: 'linear', factor: 4 } }, 1);
    expect([...scaled]).toEqual([0.25, 0.025, 0.0025, 0.00025].map((f) => expect.closeTo(f, 12)));
  });

  // Llama 3.1's own numbers: of the 64 frequencies the first 29 are kept and the last 29 divided by 8.
  test('llama3 keeps the high and divides the low frequencies', () => {
    const llama = { rotaryDim: 128, theta: 500_000 };
    const before = ropeFrequencies(llama, 1);
    const after = ropeFrequencies(
      {
        ...llama,
        scaling: { type: 'llama3', factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8192 },
      },
      1,
    );
    const ratio = [...after].map((f, i) => (before[i] ?? NaN) / f);
    expect(ratio.slice(0, 29)).toEqual(Array.from({ length: 29 }, () => expect.closeTo(1, 9)));
    expect(ratio.slice(35)).toEqual(Array.from({ length: 29 }, () => expect.closeTo(8, 9)));
    expect(ratio.slice(29, 35).every((r) => r > 1 && r < 8)).toBe(true);
  });

  test('longrope changes its factors with the context', () => {
    const scaling = {
      type: 'longrope',
      shortFactors: [1, 1, 2, 2],
      longFactors: [4, 4, 5, 5],
      originalContext: 16,
      attentionFactor: 1.5,
    } as const;
    expect(ropeFrequencies({ ...plain, scaling }, 16)[2]).toBeCloseTo(0.005, 12);
    expect(ropeFrequencies({ ...plain, scaling }, 17)[2]).toBeCloseTo(0.002, 12);
    expect(ropeTable({ ...plain, scaling }, 1)[0]).toBe(1.5);
  });

  test('yarn keeps fast pairs and divides slow ones', () => {
    const scaling = {
      type: 'yarn',
      factor: 4,
      betaFast: 32,
      betaSlow: 1,
      originalContext: 4096,
      attentionFactor: 1,
      truncate: true,
    } as const;
    const ratio = [...ropeFrequencies({ rotaryDim: 64, theta: 10_000, scaling }, 1)].map(
      (f, i) => f / 10_000 ** (-i / 32),
    );
    expect(ratio[0]).toBeCloseTo(1, 9);
    expect(ratio.at(-1)).toBeCloseTo(0.25, 9);
    expect(ratio.every((r, i) => i === 0 || r <= (ratio[i - 1] ?? NaN) + 1e-12)).toBe(true);
  });
});
