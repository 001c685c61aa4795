import { ShapeMismatchError } from '../errors.ts';
import type { AttentionAttributes } from '../graph/attributes.ts';
import { emptyLike, zeros, type FloatArray, type Tensor } from '../tensor.ts';
import { input } from './inputs.ts';
import type { Operator } from './operator.ts';
import { rowsOf } from './shapes.ts';

/** One KV head of one sequence: where its query heads are, and which rows. */
interface Part {
  readonly begin: number;
  readonly length: number;
  readonly kvHead: number;
}

function* partsOf(sequences: readonly number[], kvHeads: number): Generator<Part> {
  let begin = 0;
  for (const length of sequences) {
    for (let kvHead = 0; kvHead < kvHeads; kvHead++) yield { begin, length, kvHead };
    begin += length;
  }
}

/** `heads` consecutive heads of some rows, one head after another: [heads * length, headDim]. */
function gatherHeads(
  x: Tensor,
  { begin, length }: Part,
  firstHead: number,
  heads: number,
  headDim: number,
): FloatArray {
  const columns = x.shape[1] ?? 1;
  const out = emptyLike(x.data, heads * length * headDim);
  for (let head = 0; head < heads; head++) {
    for (let t = 0; t < length; t++) {
      const from = (begin + t) * columns + (firstHead + head) * headDim;
      out.set(x.data.subarray(from, from + headDim), (head * length + t) * headDim);
    }
  }
  return out;
}

function scatterHeads(
  values: FloatArray,
  to: Tensor,
  { begin, length }: Part,
  firstHead: number,
  heads: number,
  headDim: number,
): void {
  const columns = to.shape[1] ?? 1;
  for (let head = 0; head < heads; head++) {
    for (let t = 0; t < length; t++) {
      const from = (head * length + t) * headDim;
      to.data.set(values.subarray(from, from + headDim), (begin + t) * columns + (firstHead + head) * headDim);
    }
  }
}

/** Turns q . k products [heads * length, length] into probabilities, in place. */
function softmaxRows(scores: FloatArray, firstHead: number, length: number, attributes: AttentionAttributes): void {
  const { scale, softcap, alibi, window = Infinity } = attributes;
  for (let r = 0; r < scores.length / length; r++) {
    const query = r % length;
    const slope = alibi?.[firstHead + Math.floor(r / length)] ?? 0;
    const first = Math.max(0, query - window + 1);
    const at = r * length;
    let peak = -Infinity;
    for (let key = first; key <= query; key++) {
      let score = (scores[at + key] as number) * scale;
      if (softcap !== undefined) score = softcap * Math.tanh(score / softcap);
      score += slope * (key - query);
      scores[at + key] = score;
      if (score > peak) peak = score;
    }
    let total = 0;
    for (let key = first; key <= query; key++) {
      const weight = Math.exp((scores[at + key] as number) - peak);
      scores[at + key] = weight;
      total += weight;
    }
    scores.fill(0, at, at + first);
    for (let key = first; key <= query; key++) scores[at + key] = (scores[at + key] as number) / total;
    scores.fill(0, at + query + 1, at + length);
  }
}

/** The gradient of the q . k products from that of the probabilities, written over the latter. */
function softmaxGradient(
  products: FloatArray,
  probabilities: FloatArray,
  gradient: FloatArray,
  length: number,
  attributes: AttentionAttributes,
): void {
  const { scale, softcap } = attributes;
  for (let at = 0, query = 0; at < gradient.length; at += length, query = query + 1 === length ? 0 : query + 1) {
    let mean = 0;
    for (let key = 0; key <= query; key++) mean += (probabilities[at + key] as number) * (gradient[at + key] as number);
    for (let key = 0; key <= query; key++) {
      const cap = softcap === undefined ? 1 : 1 - Math.tanh(((products[at + key] as number) * scale) / softcap) ** 2;
      gradient[at + key] = (probabilities[at + key] as number) * ((gradient[at + key] as number) - mean) * cap * scale;
    }
    gradient.fill(0, at + query + 1, at + length);
  }
}

/**
 * Causal attention of whole sequences, grouped queries included. Inputs: q [T, heads * headDim], k and v [T, kvHeads * headDim].
 * The native instruction reads the KV cache instead.
 */
export const attention: Operator<'attention'> = {
  arity: [3, 3],
  shape: ([q, k, v], { heads, kvHeads, headDim, alibi }) => {
    if (heads % kvHeads !== 0)
      throw new ShapeMismatchError(`attention: ${heads} heads cannot share ${kvHeads} key/value heads.`);
    if (alibi && alibi.length !== heads)
      throw new ShapeMismatchError(`attention: ${alibi.length} slopes for ${heads} heads.`);
    rowsOf('attention', k, kvHeads * headDim);
    rowsOf('attention', v, kvHeads * headDim);
    return rowsOf('attention', q, heads * headDim);
  },
  *evaluate(inputs, attributes, { sequences }) {
    const [q, k, v] = [input(inputs, 0), input(inputs, 1), input(inputs, 2)];
    const { heads, kvHeads, headDim } = attributes;
    const group = heads / kvHeads;
    const out = zeros(q.shape, q);
    for (const part of partsOf(sequences, kvHeads)) {
      const { length: n, kvHead } = part;
      const m = group * n;
      const a = gatherHeads(q, part, kvHead * group, group, headDim);
      const probabilities = yield {
        m,
        n,
        k: headDim,
        a,
        b: gatherHeads(k, part, kvHead, 1, headDim),
        transposeB: true,
      };
      softmaxRows(probabilities, kvHead * group, n, attributes);
      const values = yield { m, n: headDim, k: n, a: probabilities, b: gatherHeads(v, part, kvHead, 1, headDim) };
      scatterHeads(values, out, part, kvHead * group, group, headDim);
    }
    return out;
  },
  *gradient({ dy, inputs, attributes, step: { sequences } }) {
    const [q, k, v] = [input(inputs, 0), input(inputs, 1), input(inputs, 2)];
    const { heads, kvHeads, headDim } = attributes;
    const group = heads / kvHeads;
    const [dq, dk, dv] = [zeros(q.shape, q), zeros(k.shape, k), zeros(v.shape, v)];
    for (const part of partsOf(sequences, kvHeads)) {
      const { length: n, kvHead } = part;
      const m = group * n;
      const queries = gatherHeads(q, part, kvHead * group, group, headDim);
      const keys = gatherHeads(k, part, kvHead, 1, headDim);
      const d = gatherHeads(dy, part, kvHead * group, group, headDim);
      const products = yield { m, n, k: headDim, a: queries, b: keys, transposeB: true };
      const probabilities = products.slice();
      softmaxRows(probabilities, kvHead * group, n, attributes);
      const scores = yield { m, n, k: headDim, a: d, b: gatherHeads(v, part, kvHead, 1, headDim), transposeB: true };
      softmaxGradient(products, probabilities, scores, n, attributes);
      scatterHeads(yield { m, n: headDim, k: n, a: scores, b: keys }, dq, part, kvHead * group, group, headDim);
      scatterHeads(
        yield { m: n, n: headDim, k: m, a: scores, b: queries, transposeA: true },
        dk,
        part,
        kvHead,
        1,
        headDim,
      );
      scatterHeads(
        yield { m: n, n: headDim, k: m, a: probabilities, b: d, transposeA: true },
        dv,
        part,
        kvHead,
        1,
        headDim,
      );
    }
    return [dq, dk, dv];
  },
  // Linear in V: a factor on output channel (head, d) passes to V's channel (its KV head, d), so the heads of a group share it.
  absorb: (node, channels, tie) => {
    const { heads, kvHeads, headDim } = node.attributes;
    const group = heads / kvHeads;
    const v = node.inputs[2];
    if (!v) return [];
    const through = new Int32Array(kvHeads * headDim);
    for (let c = 0; c < through.length; c++) {
      const first = Math.floor(c / headDim) * group * headDim + (c % headDim);
      through[c] = channels[first] as number;
      for (let head = 1; head < group; head++)
        tie(channels[first] as number, channels[first + head * headDim] as number);
    }
    return [{ node: v, channels: through }];
  },
};
