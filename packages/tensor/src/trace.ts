/** When one thread worked on one instruction. */
export interface TraceSpan {
  readonly thread: number;
  /** What follows the logits is called 'sampling'. */
  readonly name: string;
  /** Seconds, from some moment on. */
  readonly begin: number;
  readonly end: number;
}

/** @internal */
export function traceSpans(values: Float64Array, names: readonly string[]): TraceSpan[] {
  return Array.from({ length: values.length / 4 }, (_, index) => {
    const [thread = 0, instruction = -1, begin = 0, end = 0] = values.subarray(4 * index, 4 * index + 4);
    return { thread, name: names[instruction] ?? 'sampling', begin, end };
  });
}

/**
 * Spans in the format that Chrome's chrome://tracing and Perfetto open ("Trace Event Format", complete events): JSON text for a
 * .json file.
 */
export function chromeTrace(spans: readonly TraceSpan[]): string {
  const start = spans.reduce((first, { begin }) => Math.min(first, begin), Infinity);
  const microseconds = (seconds: number): number => Math.round(seconds * 1e9) / 1e3;
  const traceEvents = spans.map(({ thread, name, begin, end }) => ({
    name,
    ph: 'X',
    pid: 1,
    tid: thread,
    ts: microseconds(begin - start),
    dur: microseconds(end - begin),
  }));
  return JSON.stringify({ traceEvents });
}
