import type { KernelBenchmark, KernelMeasurement } from '@llm/runtime';
import { table } from './table.ts';
import { count, percent } from './units.ts';

/** One line for each measurement: its time, what it reads and computes in a second, and how much of each limit that is. */
export function kernelReport({ machine, results }: KernelBenchmark): string {
  return [
    `${count(machine.threads, 'thread')}; medians, and the limits probed beside them: reads and arithmetic of the same instruction set`,
    table([
      [
        'table',
        'kernel',
        'shape',
        'format',
        'computes',
        'rows',
        'context',
        'time',
        'reads',
        '',
        'arithmetic',
        '',
        'of limit',
      ],
      ...results.map(line),
    ]),
  ].join('\n');
}

function line(r: KernelMeasurement): string[] {
  const { median } = r.seconds;
  const rate = r.operations / median;
  return [
    ...[r.isa, r.kernel, r.shape, r.groupSize === null ? r.format : `${r.format} g${r.groupSize}`, r.compute],
    ...[String(r.rows), r.context === null ? '' : String(r.context)],
    median < 1e-4 ? `${(1e6 * median).toFixed(1)} µs` : `${(1e3 * median).toFixed(3)} ms`,
    `${(r.bytes / median / 1e9).toFixed(1)} GB/s`,
    percent(r.fractionOfReadBandwidth),
    rate < 1e11 ? `${(rate / 1e9).toFixed(1)} G/s` : `${(rate / 1e12).toFixed(3)} T/s`,
    percent(r.fractionOfPeak),
    `${percent(r.fractionOfLimit)} ${r.limit}`,
  ];
}
