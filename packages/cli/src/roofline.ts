import type { KernelBenchmark, KernelMeasurement } from '@llm/runtime';
import { count } from './units.ts';

const width = 760;
const height = 460;
const margin = { left: 62, right: 188, top: 40, bottom: 52 };

/** How a measurement is drawn: what it computes with decides the colour, the family the shape of the mark. */
const classes = {
  int8: 'int8 arithmetic',
  f32: 'float32 arithmetic',
  bf16: 'bfloat16 arithmetic',
} as const;

/**
 * A roofline plot (Williams, Waterman and Patterson, 2009) as SVG that stands alone and follows the reader's light or dark
 * theme: operations per second over operations per byte of weights or cache, both logarithmic, under the limits that were
 * probed in the same run.
 */
export function rooflinePlot({ machine, results }: KernelBenchmark): string {
  const points = results.filter(({ operations, bytes, seconds }) => operations > 0 && bytes > 0 && seconds.median > 0);
  const intensity = (r: KernelMeasurement): number => r.operations / r.bytes;
  const speed = (r: KernelMeasurement): number => r.operations / r.seconds.median;
  const bandwidth = Math.max(...points.map((r) => r.readBandwidth));
  const peaks = [...new Set(points.map((r) => r.compute))].map((compute) => ({
    compute,
    peak: Math.max(...points.filter((r) => r.compute === compute).map((r) => r.peak)),
  }));
  const x = logAxis(points.map(intensity), margin.left, width - margin.right);
  const highest = Math.max(...peaks.map(({ peak }) => peak));
  const y = logAxis([...points.map(speed), highest * 1.2], height - margin.bottom, margin.top);

  const grid = [
    ...x.ticks.map(
      (tick) =>
        `<path class="grid" d="M${x.at(tick)} ${margin.top}V${height - margin.bottom}"/>` +
        label(x.at(tick), height - margin.bottom + 18, power(tick), 'middle'),
    ),
    ...y.ticks.map(
      (tick) =>
        `<path class="grid" d="M${margin.left} ${y.at(tick)}H${width - margin.right}"/>` +
        label(margin.left - 8, y.at(tick) + 4, power(tick), 'end'),
    ),
  ];
  const roofs = [
    line(x.low, x.low * bandwidth, highest / bandwidth, highest, 'roof', x, y),
    ...peaks.map(
      ({ compute, peak }) =>
        line(peak / bandwidth, peak, x.high, peak, `roof ${compute}`, x, y) +
        label(width - margin.right + 6, y.at(peak) + 4, `${(peak / 1e12).toFixed(2)} T ${compute} peak`, 'start'),
    ),
    label(
      x.at(x.low * 1.15),
      y.at(x.low * bandwidth * 1.15) - 10,
      `${(bandwidth / 1e9).toFixed(0)} GB/s read`,
      'start',
    ),
  ];
  const marks = points.map((r) => mark(r.family, r.compute, x.at(intensity(r)), y.at(speed(r)), describePoint(r)));
  const used = Object.entries(classes).filter(([compute]) => points.some((r) => r.compute === compute));
  const families = [...new Set(points.map((r) => r.family))];
  const legendX = width - margin.right + 12;
  const legendY = height - margin.bottom - 18 * (used.length + families.length) + 6;
  const legend = [
    ...used.map(([compute, name], i) => {
      const at = legendY + 18 * i;
      return mark('matmul', compute, legendX, at - 4, '') + label(legendX + 12, at, name, 'start');
    }),
    ...families.map((family, i) => {
      const at = legendY + 18 * (used.length + i);
      return mark(family, 'plain', legendX, at - 4, '') + label(legendX + 12, at, family, 'start');
    }),
  ];
  const title = `Kernels under their limits: ${machine.isa}, ${count(machine.threads, 'thread')}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(title)}">`,
    style,
    `<rect class="page" width="${width}" height="${height}"/>`,
    `<text class="title" x="${margin.left}" y="24">${escape(title)}</text>`,
    ...grid,
    ...roofs,
    ...marks,
    ...legend,
    label((margin.left + width - margin.right) / 2, height - 12, 'operations per byte read', 'middle'),
    `<text transform="translate(16 ${(margin.top + height - margin.bottom) / 2}) rotate(-90)" text-anchor="middle">operations per second</text>`,
    '</svg>\n',
  ].join('\n');
}

const style = `<style>
svg { font: 12px system-ui, sans-serif; --page: #ffffff; --ink: #1f2328; --faint: #d0d7de; --int8: #0969da; --f32: #9a6700; --bf16: #8250df; }
@media (prefers-color-scheme: dark) {
svg { --page: #0d1117; --ink: #e6edf3; --faint: #30363d; --int8: #58a6ff; --f32: #e3b341; --bf16: #bc8cff; }
}
.page { fill: var(--page); }
text { fill: var(--ink); }
.title { font-size: 15px; font-weight: 600; }
.grid { stroke: var(--faint); stroke-width: 1; fill: none; }
.roof { stroke: var(--ink); stroke-width: 1.5; fill: none; }
.roof.int8 { stroke: var(--int8); } .roof.f32 { stroke: var(--f32); } .roof.bf16 { stroke: var(--bf16); }
.int8 { fill: var(--int8); } .f32 { fill: var(--f32); } .bf16 { fill: var(--bf16); } .plain { fill: var(--ink); }
.mark { fill-opacity: 0.65; stroke: var(--page); stroke-width: 0.75; }
</style>`;

function mark(family: KernelMeasurement['family'], compute: string, cx: number, cy: number, title: string): string {
  const [x, y] = [Number(cx.toFixed(1)), Number(cy.toFixed(1))];
  const inside = title === '' ? '' : `<title>${escape(title)}</title>`;
  if (family === 'matmul') return `<circle class="mark ${compute}" cx="${x}" cy="${y}" r="4.5">${inside}</circle>`;
  if (family === 'attention') return `<path class="mark ${compute}" d="M${x} ${y - 5.5}l5 9.5h-10z">${inside}</path>`;
  return `<rect class="mark ${compute}" x="${x - 4.5}" y="${y - 4.5}" width="9" height="9">${inside}</rect>`;
}

function describePoint(r: KernelMeasurement): string {
  const group = r.groupSize === null ? '' : ` g${r.groupSize}`;
  const context = r.context === null ? '' : ` at context ${r.context}`;
  return `${r.isa} ${r.family} ${r.shape}, ${r.format}${group}, ${count(r.rows, 'row')}${context}: ${(100 * r.fractionOfLimit).toFixed(0)} % of the limit`;
}

interface Axis {
  readonly low: number;
  readonly high: number;
  readonly ticks: readonly number[];
  at(value: number): number;
}

/** Whole powers of ten around all values. */
function logAxis(values: readonly number[], from: number, to: number): Axis {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  return {
    low: 10 ** low,
    high: 10 ** high,
    ticks: Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)),
    at: (value) => Number((from + ((Math.log10(value) - low) / (high - low)) * (to - from)).toFixed(1)),
  };
}

function line(x1: number, y1: number, x2: number, y2: number, name: string, x: Axis, y: Axis): string {
  // Cut at the left and lower edge, along the slope of the line.
  const cut = y1 < y.low ? y.low / y1 : 1;
  return `<path class="${name}" d="M${x.at(x1 * cut)} ${y.at(y1 * cut)}L${x.at(x2)} ${y.at(y2)}"/>`;
}

function label(x: number, y: number, text: string, anchor: 'start' | 'middle' | 'end'): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escape(text)}</text>`;
}

/** 1e9 -> "1 G" */
function power(value: number): string {
  const units = ['', ' k', ' M', ' G', ' T', ' P'];
  const exponent = Math.round(Math.log10(value));
  if (exponent < 0) return value.toPrecision(1);
  return `${10 ** (exponent % 3)}${units[Math.floor(exponent / 3)] ?? ` e${exponent}`}`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
