/** A point of a scatter plot. */
export interface PlotPoint {
  readonly x: number;
  readonly y: number;
  readonly label: string;
  readonly kind: 'pass' | 'fail' | 'best';
}

export interface ScatterOptions {
  readonly xTitle: string;
  readonly yTitle: string;
  /** A horizontal line: the acceptable loss. */
  readonly limit: number;
}

const width = 640;
const height = 340;
const margin = { left: 64, right: 24, top: 16, bottom: 48 };

/** A scatter plot as SVG; colours come from the page's variables, so it follows its theme. */
export function scatter(points: readonly PlotPoint[], { xTitle, yTitle, limit }: ScatterOptions): string {
  const x = axis(
    points.map((point) => point.x),
    margin.left,
    width - margin.right,
  );
  const y = axis([...points.map((point) => point.y), limit, 0], height - margin.bottom, margin.top);
  const grid = [
    ...x.ticks.map((tick) => line(x.at(tick), margin.top, x.at(tick), height - margin.bottom, 'grid')),
    ...y.ticks.map((tick) => line(margin.left, y.at(tick), width - margin.right, y.at(tick), 'grid')),
  ];
  const labels = [
    ...x.ticks.map((tick) => text(x.at(tick), height - margin.bottom + 18, x.label(tick), 'middle')),
    ...y.ticks.map((tick) => text(margin.left - 8, y.at(tick) + 4, y.label(tick), 'end')),
    text((margin.left + width - margin.right) / 2, height - 8, xTitle, 'middle'),
    `<text class="title" transform="translate(14 ${(margin.top + height - margin.bottom) / 2}) rotate(-90)" text-anchor="middle">${escapeHtml(yTitle)}</text>`,
  ];
  const dots = points.map((point) => {
    const [cx, cy] = [x.at(point.x).toFixed(1), y.at(point.y).toFixed(1)];
    return `<circle class="${point.kind}" cx="${cx}" cy="${cy}" r="${point.kind === 'best' ? 8 : 5}"><title>${escapeHtml(point.label)}</title></circle>`;
  });
  const best = points.find((point) => point.kind === 'best');
  const name = best ? [text(x.at(best.x), y.at(best.y) - 14, best.label, anchorAt(x.at(best.x)))] : [];
  return [
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(`${yTitle} against ${xTitle}`)}">`,
    ...grid,
    line(margin.left, y.at(limit), width - margin.right, y.at(limit), 'limit'),
    ...labels,
    ...dots,
    ...name,
    '</svg>',
  ].join('');
}

/** Labels near an edge grow towards the middle. */
function anchorAt(x: number): 'start' | 'middle' | 'end' {
  return x < width * 0.25 ? 'start' : x > width * 0.75 ? 'end' : 'middle';
}

interface Axis {
  readonly ticks: readonly number[];
  at(value: number): number;
  label(value: number): string;
}

/** A linear axis with round ticks around the values. */
function axis(values: readonly number[], from: number, to: number): Axis {
  const finite = values.filter(Number.isFinite);
  let low = Math.min(...finite);
  let high = Math.max(...finite);
  if (!(high > low)) {
    const around = Math.abs(low) * 0.1 || 1;
    low -= around;
    high += around;
  }
  const rough = (high - low) / 5;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * magnitude).find((size) => size >= rough)!;
  const [first, last] = [Math.floor(low / step) * step, Math.ceil(high / step) * step];
  const count = Math.round((last - first) / step);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  return {
    ticks: Array.from({ length: count + 1 }, (_, i) => first + i * step),
    at: (value) => from + ((value - first) / (last - first)) * (to - from),
    label: (value) => value.toFixed(digits),
  };
}

function line(x1: number, y1: number, x2: number, y2: number, name: string): string {
  return `<line class="${name}" x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}"/>`;
}

function text(x: number, y: number, content: string, anchor: string): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escapeHtml(content)}</text>`;
}

export function escapeHtml(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
