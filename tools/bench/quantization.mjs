// Compares quantization methods on one model: perplexity, divergence from the model as it was, agreement, last-word accuracy, bytes,
// seconds and peak memory.
//   node tools/bench/quantization.mjs MODEL --calibration TEXT --test TEXT --results FILE.json [--methods rtn,gptq,...]
//     [--grids w4g32,w3g128,w4g-1] [--scheme asym] [--samples 128] [--length 256] [--test-samples 24] [--lambada FILE.jsonl --documents 200]
//     [--options '{"signround":{"effort":"default"}}' --label signround-default] [--foreign gptqmodel:w4g128=FOLDER,...]
//   node tools/bench/quantization.mjs --table --results FILE.json
// Needs built packages (npm run build). Every result goes into FILE.json at once; what is there already is not done again, so an
// interrupted run goes on. Each model is quantized by a process of its own, whose peak memory is that of the table. Perplexity and
// divergence are over sequences of `length` tokens of the test text; errors are standard errors over sequences, and the change of
// loss is paired, token by token, with the model as it was. `--foreign` judges folders that other tools have written, in the same way.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';

const packages = join(import.meta.dirname, '../../packages');
const load = (path) => import(join(packages, path));

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    calibration: { type: 'string' },
    test: { type: 'string' },
    results: { type: 'string' },
    methods: { type: 'string', default: 'rtn,gptq,awq,awq+gptq,teq,signround' },
    grids: { type: 'string', default: 'w4g32,w4g128,w4g-1,w3g32,w3g128,w3g-1,w2g32,w2g128' },
    scheme: { type: 'string', default: 'asym' },
    samples: { type: 'string', default: '128' },
    length: { type: 'string', default: '256' },
    'test-samples': { type: 'string', default: '24' },
    lambada: { type: 'string' },
    documents: { type: 'string', default: '200' },
    options: { type: 'string', default: '{}' },
    label: { type: 'string' },
    foreign: { type: 'string' },
    table: { type: 'boolean', default: false },
    /** Set by this script itself: quantizes once and prints what it took. */
    job: { type: 'string' },
  },
});

if (options.job) await quantizeOnce(JSON.parse(options.job));
else if (options.table && options.results) printTable(readResults().rows);
else await compareMethods();

async function quantizeOnce({ model, ...recipe }) {
  const { quantize } = await load('quant/dist/index.js');
  const start = performance.now();
  const { bytesAfter } = await quantize(model, recipe);
  const seconds = (performance.now() - start) / 1000;
  const cpuSeconds = process.resourceUsage().userCPUTime / 1e6;
  console.log(JSON.stringify({ bytes: bytesAfter, seconds, cpuSeconds, peak: peakMemory() }));
}

/** Of this process, in bytes. Linux counts what its parent had in `maxRSS` as well. */
function peakMemory() {
  const status = '/proc/self/status';
  const found = existsSync(status) ? /VmHWM:\s+(\d+)/.exec(readFileSync(status, 'latin1')) : undefined;
  return 1024 * (found ? Number(found[1]) : process.resourceUsage().maxRSS);
}

async function compareMethods() {
  const [model] = positionals;
  if (!model || !options.calibration || !options.test || !options.results) {
    console.error(
      'A model, --calibration TEXT, --test TEXT and --results FILE are needed; the texts must not be the same.',
    );
    process.exit(2);
  }
  const { drawSequences, methodSteps } = await load('quant/dist/index.js');
  const { openCheckpoint } = await load('models/dist/index.js');
  const length = Number(options.length);
  const settings = {
    model: basename(model),
    calibration: basename(options.calibration),
    test: basename(options.test),
    samples: Number(options.samples),
    length,
    testSamples: Number(options['test-samples']),
    documents: options.lambada ? Number(options.documents) : 0,
  };
  const stored = readResults();
  if (stored.settings && JSON.stringify(stored.settings) !== JSON.stringify(settings)) {
    console.error(`${options.results} was made with other settings: ${JSON.stringify(stored.settings)}.`);
    process.exit(2);
  }
  const { rows } = stored;
  const keep = (row) => {
    rows.push(row);
    const content = { settings, machine: `${cpus()[0]?.model}, ${cpus().length} virtual cores`, rows };
    writeFileSync(`${options.results}.new`, `${JSON.stringify(content, null, 2)}\n`);
    renameSync(`${options.results}.new`, options.results);
    console.error(lineOf(row));
  };
  const known = (grid, method) => rows.some((row) => row.grid === grid && row.method === method);

  const folder = mkdtempSync(join(tmpdir(), 'llm-bench-quantization-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const source = await openCheckpoint(model);
  const tokenizer = await source.tokenizer();
  const sequences = await drawSequences(options.test, (text) => tokenizer.encode(text), {
    ...{ samples: settings.testSamples, length, seed: 1 },
  });
  let reference;
  const judge = async (path) => {
    reference ??= await logitsOf(source, sequences);
    const checkpoint = path ? await openCheckpoint(path) : source;
    const figures = await compare(sequences, reference, path ? await logitsOf(checkpoint, sequences) : reference);
    if (path) checkpoint[Symbol.dispose]();
    return { ...figures, ...(options.lambada && { lambada: await lastWords(path ?? model) }) };
  };

  if (!known('', 'as it is'))
    keep({ grid: '', method: 'as it is', ...(await judge()), bytes: sizeOf(source), seconds: 0, peak: 0 });
  for (const entry of options.foreign?.split(',') ?? []) {
    const [name, path] = entry.split('=');
    const [method, grid] = name.split(':');
    if (known(grid, method)) continue;
    const checkpoint = await openCheckpoint(path);
    const bytes = sizeOf(checkpoint);
    checkpoint[Symbol.dispose]();
    keep({ grid, method, ...(await judge(path)), bytes, seconds: NaN, peak: NaN });
  }
  if (options.methods === '') return;
  for (const grid of options.grids.split(',')) {
    const [, bits, groupSize] = /^w(\d)g(-?\d+)$/.exec(grid) ?? [];
    for (const method of options.methods.split(',')) {
      const scheme = method === 'hqq' ? 'min' : options.scheme;
      const [label, place] = [options.label ?? method, `${grid} ${scheme}`];
      if (known(place, label)) continue;
      const output = join(folder, `${grid}-${label}`);
      const calibration = { documents: options.calibration, samples: settings.samples, length };
      const job = {
        ...{ model, method, bits: Number(bits), groupSize: Number(groupSize), scheme, output },
        ...(methodSteps[method]?.calibrated && { calibration }),
        ...JSON.parse(options.options),
      };
      const run = spawnSync(process.execPath, [import.meta.filename, '--job', JSON.stringify(job)], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      if (run.status !== 0) {
        console.error(`${place} ${label} failed.`);
        process.exitCode = 1;
        continue;
      }
      const took = JSON.parse(run.stdout);
      keep({ grid: place, method: label, ...(await judge(output)), ...took });
      rmSync(output, { recursive: true, force: true });
    }
  }
  printTable(rows);
}

function readResults() {
  if (!existsSync(options.results)) return { rows: [] };
  return JSON.parse(readFileSync(options.results, 'utf8'));
}

/** Logits of the test sequences, one array [tokens, vocabulary] each. */
async function logitsOf(checkpoint, sequences) {
  const { GraphWalk } = await load('quant/dist/calibration/graph-walk.js');
  const { TensorStore } = await load('quant/dist/calibration/tensor-store.js');
  const { graph, logits } = checkpoint.architecture.build(checkpoint.config);
  const shapes = new Map(
    graph.nodes.flatMap(({ op, attributes }) => (op === 'weight' ? [[attributes.name, attributes.shape]] : [])),
  );
  const store = new TensorStore(2 ** 32); // never full, so that there is nothing to dispose of
  const walk = new GraphWalk(graph, sequences, store, { batchTokens: 1 });
  const found = [];
  const weights = (name) => ({ shape: shapes.get(name), data: checkpoint.read(name) });
  await walk.advance(undefined, weights, logits, ({ data }) => void found.push(data.slice()));
  return found;
}

/** Perplexity, and against the model as it was: divergence, agreement, and the difference of log-likelihoods. */
async function compare(sequences, reference, other) {
  const { DivergenceAccumulator, meanOf } = await load('eval/dist/index.js');
  const each = sequences.map((tokens, s) => {
    const [p, q] = [reference[s], other[s]];
    const vocabulary = p.length / tokens.length;
    const comparison = new DivergenceAccumulator(vocabulary);
    let loss = 0;
    for (let t = 0; t + 1 < tokens.length; t++) {
      comparison.add(p, q, t, tokens[t + 1]);
      loss += logSum(q.subarray(t * vocabulary, (t + 1) * vocabulary)) - q[t * vocabulary + tokens[t + 1]];
    }
    const { meanKl, topOneAgreement, perplexityRatio } = comparison.result();
    return {
      kl: meanKl.value,
      agree: topOneAgreement.value,
      loss: loss / (tokens.length - 1),
      change: Math.log(perplexityRatio.value),
    };
  });
  const mean = (key) => meanOf(each.map((entry) => entry[key]));
  const [change, kl] = [mean('change'), mean('kl')];
  return {
    perplexity: Math.exp(mean('loss').value),
    lossChange: change.value,
    lossChangeError: change.standardError,
    divergence: kl.value,
    divergenceError: kl.standardError,
    agreement: mean('agree').value,
  };
}

/** The logarithm of the sum of the exponentials. */
function logSum(logits) {
  const peak = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  return peak + Math.log(logits.reduce((sum, value) => sum + Math.exp(value - peak), 0));
}

/** Share of LAMBADA's last words that the model would have written. */
async function lastWords(path) {
  const { Model } = await load('runtime/dist/index.js');
  const { evaluate, modelScorer, taskNamed } = await load('eval/dist/index.js');
  const model = await Model.load(path, { compute: 'f32', contextLength: 1024 });
  try {
    const task = taskNamed('lambada');
    const { tasks } = await evaluate(modelScorer(model), [{ task, data: options.lambada }], {
      limit: Number(options.documents),
    });
    const accuracy = tasks[0].metrics.acc;
    return { accuracy: accuracy.value, error: accuracy.standardError };
  } finally {
    await model[Symbol.asyncDispose]();
  }
}

function sizeOf(checkpoint) {
  return [...checkpoint.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
}

function cellsOf(row) {
  // What nobody measured is null in the file.
  const number = (value, digits, unit = 1) => (Number.isFinite(value) ? (value / unit).toFixed(digits) : '');
  return [
    row.grid,
    row.method,
    number(row.perplexity, 3),
    `${number(row.lossChange, 4)} ± ${number(row.lossChangeError, 4)}`,
    `${number(row.divergence, 5)} ± ${number(row.divergenceError, 5)}`,
    `${number(100 * row.agreement, 2)} %`,
    ...(row.lambada ? [`${number(100 * row.lambada.accuracy, 1)} ± ${number(100 * row.lambada.error, 1)} %`] : []),
    number(row.bytes / 1e6, 2),
    number(row.seconds, 1),
    number(row.cpuSeconds, 1),
    number(row.peak, 0, 1e6),
  ];
}

function lineOf(row) {
  return `| ${cellsOf(row).join(' | ')} |`;
}

function printTable(rows) {
  const heads = ['grid', 'method', 'perplexity', 'change of loss', 'KL', 'top-1'];
  if (rows.some(({ lambada }) => lambada)) heads.push('LAMBADA');
  heads.push('MB', 'seconds', 'CPU s', 'peak MB');
  const order = [...new Set(rows.map(({ grid }) => grid))];
  console.log(`| ${heads.join(' | ')} |\n|${'---|'.repeat(heads.length)}`);
  for (const row of rows.toSorted((a, b) => order.indexOf(a.grid) - order.indexOf(b.grid))) console.log(lineOf(row));
}
