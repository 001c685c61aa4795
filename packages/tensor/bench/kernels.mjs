// Matrix products by themselves, kernel x instruction set x shape, as shares of what the machine can do in the same run:
// of its read bandwidth where weights are streamed (few rows), of its arithmetic peak where they are reused.
//   node packages/tensor/bench/kernels.mjs [options]      after `npm run build`
//   --isa a,b         tables, default all that run here but scalar
//   --shapes a,b      of: tinyllama-mlp, llama-attention, llama-mlp
//   --formats a,b     default int4-sym
//   --groups a,b      default 32,128
//   --rows a,b        default 1,4,8,16,512
//   --compute a,b     default int8
//   --threads n       default 1
//   --repeats n       default 15
//   --json            one JSON object instead of a table
// Wait for an idle machine. Each figure is a median with the fastest and the slowest beside it; the probes run before and
// after every row, because memory bandwidth changes by itself on virtual machines.
import { cpuInfo, describeKernels, probePeak, probeReadBandwidth, timeMatmul } from '@llm/tensor';
import { parseArgs } from 'node:util';

const shapes = {
  'tinyllama-mlp': { rows: 5632, columns: 2048 },
  'llama-attention': { rows: 4096, columns: 4096 },
  'llama-mlp': { rows: 11008, columns: 4096 },
};
const text = (value) => ({ type: 'string', default: value });
const { values } = parseArgs({
  options: {
    isa: text(
      cpuInfo()
        .tables.filter(({ isa, runnable }) => runnable && isa !== 'scalar')
        .map(({ isa }) => isa)
        .join(','),
    ),
    ...{ shapes: text(Object.keys(shapes).join(',')), formats: text('int4-sym'), groups: text('32,128') },
    ...{ rows: text('1,4,8,16,512'), compute: text('int8'), threads: text('1'), repeats: text('15') },
    json: { type: 'boolean', default: false },
  },
});
const list = (option) => values[option].split(',');
const threads = Number(values.threads);
const repeats = Number(values.repeats);

const results = [];
for (const isa of list('isa'))
  for (const shape of list('shapes'))
    for (const format of list('formats'))
      for (const group of format.startsWith('int') ? list('groups') : [0])
        for (const compute of list('compute'))
          for (const rows of list('rows').map(Number)) await measure({ isa, shape, format, group, compute, rows });

async function measure({ isa, shape, format, group, compute, rows }) {
  const weight = { format, ...shapes[shape], ...(Number(group) > 0 ? { groupSize: Number(group) } : {}) };
  const kind = compute === 'int8' ? 'int8' : 'f32';
  const before = [await probeReadBandwidth({ threads }), await probePeak({ kind, threads })];
  const timing = timeMatmul(weight, { rows, compute, isa, threads, repeats });
  const after = [await probeReadBandwidth({ threads }), await probePeak({ kind, threads })];
  const [bandwidth, peak] = before.map((value, i) => Math.max(value, after[i]));
  const at = (share) => timing.seconds[Math.min(timing.seconds.length - 1, Math.floor(timing.seconds.length * share))];
  const [seconds, fastest, slowest] = [at(0.5), at(0), at(1)];
  const result = {
    ...{ isa, shape, format, groupSize: weight.groupSize ?? null, compute, rows, threads },
    kernel: describeKernels(weight, { compute, isa, rows: [rows] })[0].kernel,
    ...{ seconds, fastest, slowest, weightBytes: timing.weightBytes, operations: timing.operations },
    ...{ readBandwidth: bandwidth, peak },
    fractionOfReadBandwidth: timing.weightBytes / seconds / bandwidth,
    fractionOfPeak: timing.operations / seconds / peak,
  };
  results.push(result);
  if (!values.json) console.log(row(result));
}

function row(r) {
  const percent = (value) => `${(100 * value).toFixed(0)} %`.padStart(6);
  return [
    r.isa.padEnd(12),
    r.shape.padEnd(16),
    `${r.format} ${r.groupSize ?? ''}`.padEnd(18),
    r.compute.padEnd(5),
    r.kernel.padEnd(6),
    `M ${r.rows}`.padEnd(6),
    `${(1e3 * r.seconds).toFixed(3)} ms (${(1e3 * r.fastest).toFixed(3)} .. ${(1e3 * r.slowest).toFixed(3)})`.padEnd(
      34,
    ),
    `${(r.weightBytes / r.seconds / 1e9).toFixed(1)} GB/s`.padStart(11),
    `${percent(r.fractionOfReadBandwidth)} of reads`,
    `${percent(r.fractionOfPeak)} of peak`,
  ].join(' ');
}

if (values.json) console.log(JSON.stringify({ cpu: cpuInfo().features, threads, repeats, results }, null, 2));
