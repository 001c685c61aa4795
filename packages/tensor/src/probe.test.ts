import { afterEach, expect, test } from '@jest/globals';
import { cpuInfo } from './cpu.ts';
import { InvalidOptionError, UnknownOptionError } from './errors.ts';
import { probePeak, probeReadBandwidth } from './probe.ts';

afterEach(() => {
  delete process.env['LLM_ISA'];
});

// No machine is slower or faster than this by orders of magnitude; the figures themselves are not tested.
test.each(cpuInfo().tables.filter((table) => table.runnable))('limits of $isa', async ({ isa }) => {
  process.env['LLM_ISA'] = isa;
  for (const threads of [1, 2]) {
    expectBetween(await probeReadBandwidth({ threads, bytes: 2 ** 20 }), 1e7, 1e14);
    for (const kind of ['int8', 'f32'] as const) expectBetween(await probePeak({ kind, threads }), 1e7, 1e16);
  }
  const bf16 = await probePeak({ kind: 'bf16' });
  if (isa.endsWith('bf16')) expectBetween(bf16, 1e9, 1e16);
  else expect(bf16).toBe(0);
});

test('options are checked', () => {
  expect(() => probePeak({ kind: 'f64' as 'f32' })).toThrow(InvalidOptionError);
  expect(() => probePeak({ kind: 'f32', threads: 0 })).toThrow(InvalidOptionError);
  expect(() => probeReadBandwidth({ byte: 5 } as object)).toThrow(UnknownOptionError);
});

function expectBetween(value: number, low: number, high: number): void {
  expect(value).toBeGreaterThan(low);
  expect(value).toBeLessThan(high);
}
