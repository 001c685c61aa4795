// Compares the quantization methods on one model:
//   node tools/bench/quantization.mjs MODEL --calibration TEXT --test TEXT [--methods rtn,gptq] [--grids w4g32,w3g-1] [--scheme asym]
//     [--samples 128] [--length 256] [--test-samples 32] [--json]
// Needs built packages (npm run build). Differences to the model as it was are paired, token by token; their errors are over sequences.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const root = join(import.meta.dirname, '../..');
const load = (path) => import(join(root, 'packages', path));
const { drawSequences, methodNames, methodSteps, quantize } = await load('quant/dist/index.js');
const { GraphWalk } = await load('quant/dist/calibration/graph-walk.js');
const { TensorStore } = await load('quant/dist/calibration/tensor-store.js');
const { openCheckpoint } = await load('models/dist/index.js');

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    calibration: { type: 'string' },
    test: { type: 'string' },
    methods: { type: 'string', default: methodNames.filter((name) => name !== 'hqq').join(',') },
    grids: { type: 'string', default: 'w4g32,w4g128,w4g-1,w3g32,w3g128,w3g-1,w2g32' },
    scheme: { type: 'string', default: 'asym' },
    samples: { type: 'string', default: '128' },
    length: { type: 'string', default: '256' },
    'test-samples': { type: 'string', default: '32' },
    json: { type: 'boolean', default: false },
  },
});
const [model] = positionals;
if (!model || !options.calibration || !options.test) {
  console.error('A model, --calibration TEXT and --test TEXT are needed; the texts must not be the same.');
  process.exit(2);
}
const length = Number(options.length);
const folder = mkdtempSync(join(tmpdir(), 'llm-bench-quantization-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const source = await openCheckpoint(model);
const tokenizer = await source.tokenizer();
const samples = Number(options['test-samples']);
const sequences = await drawSequences(options.test, (text) => tokenizer.encode(text), { samples, length, seed: 1 });
const calibration = { documents: options.calibration, samples: Number(options.samples), length };
const reference = await logProbabilities(source);
const rows = [];
report({ method: 'as it is', grid: '', ...compare(reference), bytes: sizeOf(source), seconds: 0, peak: 0 });

for (const grid of options.grids.split(',')) {
  const [, bits, groupSize] = /^w(\d)g(-?\d+)$/.exec(grid) ?? [];
  for (const method of options.methods.split(',')) {
    const output = join(folder, `${grid}-${method}`);
    const scheme = method === 'hqq' ? 'min' : options.scheme;
    const recipe = { method, bits: Number(bits), groupSize: Number(groupSize), scheme, output };
    const start = performance.now();
    const { bytesAfter } = await quantize(source, {
      ...recipe,
      ...(methodSteps[method]?.calibrated && { calibration }),
    });
    const seconds = (performance.now() - start) / 1000;
    const quantized = await openCheckpoint(output);
    const figures = compare(await logProbabilities(quantized));
    quantized[Symbol.dispose]();
    report({
      method,
      grid: `${grid} ${scheme}`,
      ...figures,
      bytes: bytesAfter,
      seconds,
      peak: process.resourceUsage().maxRSS * 1024,
    });
    rmSync(output, { recursive: true, force: true });
  }
}
if (options.json) console.log(JSON.stringify({ model, calibration, test: options.test, samples, rows }, null, 2));

/** Log-probabilities of the test sequences, one array [tokens, vocabulary] each. */
async function logProbabilities(checkpoint) {
  const { graph, logits } = checkpoint.architecture.build(checkpoint.config);
  const shapes = new Map(
    graph.nodes.flatMap(({ op, attributes }) => (op === 'weight' ? [[attributes.name, attributes.shape]] : [])),
  );
  const store = new TensorStore(2 ** 32); // never full, so that there is nothing to dispose of
  const walk = new GraphWalk(graph, sequences, store, { batchTokens: length });
  const found = [];
  const weights = (name) => ({ shape: shapes.get(name), data: checkpoint.read(name) });
  await walk.advance(undefined, weights, logits, ({ data }) => void found.push(normalised(data, logits.shape.at(-1))));
  return found;
}

function normalised(data, vocabulary) {
  const out = new Float32Array(data.length);
  for (let begin = 0; begin < data.length; begin += vocabulary) {
    let peak = -Infinity;
    for (let i = begin; i < begin + vocabulary; i++) if (data[i] > peak) peak = data[i];
    let total = 0;
    for (let i = begin; i < begin + vocabulary; i++) total += Math.exp(data[i] - peak);
    const shift = peak + Math.log(total);
    for (let i = begin; i < begin + vocabulary; i++) out[i] = data[i] - shift;
  }
  return out;
}

/** Perplexity, and against the model as it was: divergence, agreement, and the difference of log-likelihoods. */
function compare(other) {
  const each = sequences.map((tokens, s) => {
    const [p, q] = [reference[s], other[s]];
    const vocabulary = p.length / tokens.length;
    const sums = { kl: 0, agree: 0, loss: 0, change: 0 };
    for (let t = 0; t < tokens.length; t++) {
      const at = t * vocabulary;
      let [divergence, topP, topQ] = [0, 0, 0];
      for (let i = 0; i < vocabulary; i++) {
        divergence += Math.exp(p[at + i]) * (p[at + i] - q[at + i]);
        if (p[at + i] > p[at + topP]) topP = i;
        if (q[at + i] > q[at + topQ]) topQ = i;
      }
      sums.kl += divergence;
      sums.agree += topP === topQ ? 1 : 0;
      if (t + 1 === tokens.length) continue;
      sums.loss -= q[at + tokens[t + 1]];
      sums.change += p[at + tokens[t + 1]] - q[at + tokens[t + 1]];
    }
    const predicted = tokens.length - 1;
    return {
      kl: sums.kl / tokens.length,
      agree: sums.agree / tokens.length,
      loss: sums.loss / predicted,
      change: sums.change / predicted,
    };
  });
  const mean = (key) => each.reduce((sum, entry) => sum + entry[key], 0) / each.length;
  const error = (key) =>
    Math.sqrt(each.reduce((sum, entry) => sum + (entry[key] - mean(key)) ** 2, 0) / (each.length * (each.length - 1)));
  return {
    perplexity: Math.exp(mean('loss')),
    lossChange: mean('change'),
    lossChangeError: error('change'),
    divergence: mean('kl'),
    divergenceError: error('kl'),
    agreement: mean('agree'),
  };
}

function sizeOf(checkpoint) {
  return [...checkpoint.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
}

function report(row) {
  rows.push(row);
  if (options.json) return;
  if (rows.length === 1) {
    console.log('| grid | method | perplexity | change of loss | KL | top-1 | MB | seconds | peak MB |');
    console.log('|---|---|---|---|---|---|---|---|---|');
  }
  const number = (value, digits) => value.toFixed(digits);
  const cells = [
    row.grid,
    row.method,
    number(row.perplexity, 3),
    `${number(row.lossChange, 4)} ± ${number(row.lossChangeError, 4)}`,
    `${number(row.divergence, 5)} ± ${number(row.divergenceError, 5)}`,
    `${number(100 * row.agreement, 2)} %`,
    number(row.bytes / 1e6, 2),
    number(row.seconds, 1),
    number(row.peak / 1e6, 0),
  ];
  console.log(`| ${cells.join(' | ')} |`);
}
