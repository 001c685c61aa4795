// Perplexity of whole reference texts in float32 against what transformers computed, and how far 8-bit activations are from
// float32: mean divergence and agreement of the likeliest tokens. Needs the shared data and built packages (npm run build).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Model } from '../packages/runtime/dist/index.js';

const data = process.env.LLM_SHARED_DATA ?? join(import.meta.dirname, '../../shared/data');
const json = (...path) => JSON.parse(readFileSync(join(data, ...path), 'utf8'));

const stories = (name, first) => {
  const { mean_nll } = json(name, 'reference.json').perplexity;
  const text = readFileSync(join(data, 'calibration/tinystories-valid-794k.txt'))
    .subarray(-200_000)
    .toString('utf8')
    .replace(/[ \t]*\n\s*/g, '\n');
  const windows = (tokenizer) => {
    const ids = tokenizer.encode(text, { addSpecialTokens: false });
    const count = Math.floor(ids.length / 255);
    return Array.from({ length: count }, (_, i) => [first, ...ids.slice(i * 255, (i + 1) * 255)]);
  };
  return { name, source: join(data, name), windows, expected: mean_nll };
};

const smol = () => {
  const { ids, mean_nll } = json('smollm2-135m-instruct', 'perplexity.json');
  const windows = () => Array.from({ length: 8 }, (_, i) => ids.slice(i * 512, (i + 1) * 512));
  const source = join(data, 'smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf');
  return { name: 'smollm2-135m-instruct Q4_1', source, windows, expected: mean_nll };
};

for (const { name, source, windows, expected } of [
  stories('stories-llama-5m', 1),
  stories('stories-neox-5m', 0),
  smol(),
]) {
  const exact = await Model.load(source, { compute: 'f32', kvCache: { type: 'f32' } });
  // Dense weights have no 8-bit arithmetic: the same 4-bit weights are compared in both.
  const packed = source.endsWith('.gguf') ? 'as-is' : 'int4';
  const reference = await Model.load(source, { weights: packed, compute: 'f32', kvCache: { type: 'f32' } });
  const quick = await Model.load(source, { weights: packed, compute: 'int8' });
  let [loss, quickLoss, divergence, agreeing, count] = [0, 0, 0, 0, 0];
  for (const window of windows(exact.tokenizer)) {
    const [a, p, q] = await Promise.all(
      [exact, reference, quick].map((model) => model.logits(window, { positions: 'all' })),
    );
    const width = exact.vocabularySize;
    for (let i = 0; i + 1 < window.length; i++) {
      const row = (logits) => logits.subarray(i * width, (i + 1) * width);
      const [la, lp, lq] = [row(a), row(p), row(q)].map(logSoftmax);
      loss -= la[window[i + 1]];
      quickLoss -= lq[window[i + 1]];
      lp.forEach((value, token) => (divergence += Math.exp(value) * (value - lq[token])));
      agreeing += lp.indexOf(Math.max(...lp)) === lq.indexOf(Math.max(...lq)) ? 1 : 0;
      count++;
    }
  }
  console.log(
    `${name}: ${count} tokens\n` +
      `  float32        loss ${(loss / count).toFixed(6)}, reference ${expected}, perplexity ${Math.exp(loss / count).toFixed(4)}\n` +
      `  8-bit, ${packed}  loss ${(quickLoss / count).toFixed(6)}, KL to float32 arithmetic ${(divergence / count).toExponential(3)}, ` +
      `same likeliest token ${((100 * agreeing) / count).toFixed(2)} %`,
  );
  await Promise.all([exact, reference, quick].map((model) => model.dispose()));
  if (Math.abs(loss / count - expected) > 1e-3) process.exitCode = 1;
}

function logSoftmax(logits) {
  let peak = -Infinity;
  for (const logit of logits) if (logit > peak) peak = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - peak);
  return Float64Array.from(logits, (logit) => logit - peak - Math.log(sum));
}
