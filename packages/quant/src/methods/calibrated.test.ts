import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, jest, test } from '@jest/globals';
import { CalibrationError, RecipeError } from '../errors.ts';
import { quantize, type QuantizeOptions } from '../quantize.ts';
import { randomSource } from '../random.ts';
import { meanSquare, plainLogits } from '../testing/logits.ts';
import { writeTinyModel } from '../testing/tiny-model.ts';

jest.setTimeout(600_000);

let folder: string;
let output: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'calibrated-'));
  output = join(folder, 'out');
  for (const kind of ['llama', 'neox'] as const) await writeTinyModel(join(folder, kind), kind);
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});
afterEach(async () => {
  await rm(output, { recursive: true, force: true });
});

const random = randomSource(3);
/** Text with the regularity of a Markov chain: each token has few successors. */
function text(count: number): number[][] {
  return Array.from({ length: count }, () => {
    let token = Math.floor(random() * 90);
    return Array.from({ length: 32 }, () => (token = (token * 7 + Math.floor(random() ** 2 * 5)) % 90));
  });
}
const documents = text(24);
const heldOut = text(4).map((tokens) => Int32Array.from(tokens));
const base = { head: false, embedding: false, bits: 3, groupSize: 32 } as const;
const calibration = { documents, samples: 24, length: 32 };

for (const kind of ['llama', 'neox'] as const)
  test(`${kind}: calibrated methods come nearer to the model than rounding, layer by layer and as a whole`, async () => {
    const model = join(folder, kind);
    const reference = await plainLogits(model, heldOut);
    const distance = async (
      options: Omit<QuantizeOptions, 'output' | 'head' | 'embedding'>,
    ): Promise<[number, number]> => {
      const { layers } = await quantize(model, { ...base, ...options, output });
      const error = layers.reduce((sum, { outputError = NaN }) => sum + outputError, 0) / layers.length;
      const found = meanSquare(reference, await plainLogits(output, heldOut));
      await rm(output, { recursive: true });
      return [error, found];
    };
    const [roundedError, rounded] = await distance({ method: 'rtn', calibration });
    for (const options of [
      { method: 'rtn', clipSearch: true },
      { method: 'gptq' },
      { method: 'gptq', gptq: { order: 'activation' } },
      { method: 'gptq', gptq: { correctInputs: true } },
      { method: 'awq' },
      { method: 'awq', awq: { objective: 'block', steps: 6 } },
      { method: 'awq+gptq', scheme: 'asym' },
      { method: 'teq', teq: { iterations: 6, learningRate: 0.25 } },
      { method: 'signround', signround: { iterations: 25, learningRate: 0.02 } },
    ] as const) {
      const [error, found] = await distance({ ...options, calibration });
      // TEQ and SignRound look at the block's outputs only.
      if (options.method !== 'teq' && options.method !== 'signround') expect(error).toBeLessThan(roundedError);
      if (options.method !== 'rtn') expect(found).toBeLessThan(rounded);
    }
  });

for (const kind of ['llama', 'neox'] as const)
  test(`${kind}: the exchange of scales alone changes nothing`, async () => {
    const model = join(folder, kind);
    // 8 bits hide nothing that large: what is left is the exchange.
    await quantize(model, { ...base, bits: 8, method: 'awq', awq: { steps: 4 }, calibration, output });
    const [before, after] = [await plainLogits(model, heldOut), await plainLogits(output, heldOut)];
    const scale = meanSquare(
      before,
      before.map((values) => new Float32Array(values.length)),
    );
    expect(meanSquare(before, after)).toBeLessThan(1e-3 * scale);
  });

test('a stopped run goes on from the last block and ends the same', async () => {
  const model = join(folder, 'llama');
  for (const method of ['awq+gptq', 'signround'] as const) {
    const short = { signround: { iterations: 1 } };
    const options: QuantizeOptions = { ...base, ...short, method, calibration, output, memory: 20_000 };
    const controller = new AbortController();
    const stopped = quantize(model, {
      ...options,
      signal: controller.signal,
      onProgress({ done, total }) {
        if (done > 0.6 * total) controller.abort(new Error('enough'));
      },
    });
    await expect(stopped).rejects.toThrow('enough');
    const { resumed, layers } = await quantize(model, options);
    expect(resumed).toBeGreaterThanOrEqual(7);
    const bytes = await readFile(join(output, 'model.safetensors'));
    await rm(output, { recursive: true });
    const fresh = await quantize(model, { ...options, memory: 2 ** 30 });
    expect(bytes.equals(await readFile(join(output, 'model.safetensors')))).toBe(true);
    expect(layers).toEqual(fresh.layers);
    await rm(output, { recursive: true });
  }
});

test('single layers can have their own bits, grid and rounding, or none', async () => {
  const { layers } = await quantize(join(folder, 'llama'), {
    ...base,
    method: 'gptq',
    calibration,
    output,
    skip: ['*.layers.0.*.v_proj'],
    layers: [
      { match: '*.down_proj', bits: 8 },
      { match: '*.layers.1.*.o_proj', rounding: 'hqq', scheme: 'min', bits: 4 },
      { match: '*.layers.1.*.q_proj', rounding: 'rtn' },
    ],
  });
  const found = new Map(layers.map(({ weight, bits, method }) => [weight, `${method} ${bits}`]));
  expect(found.size).toBe(13);
  expect(found.get('model.layers.0.mlp.down_proj.weight')).toBe('gptq 8');
  expect(found.get('model.layers.1.self_attn.o_proj.weight')).toBe('hqq 4');
  expect(found.get('model.layers.1.self_attn.q_proj.weight')).toBe('rtn 3');
  expect(found.has('model.layers.0.self_attn.v_proj.weight')).toBe(false);
});

test('no layer ends worse than rounded, in what its method minimises', async () => {
  const model = join(folder, 'llama');
  for (const options of [
    { method: 'rtn', clipSearch: true },
    { method: 'gptq' },
    { method: 'awq' },
    { method: 'hqq', scheme: 'min' },
    { method: 'signround', signround: { iterations: 3, learningRate: 0.3 } },
  ] as const) {
    const { layers } = await quantize(model, { ...base, bits: 2, ...options, calibration, output });
    expect(layers).toHaveLength(14);
    for (const { outputError, roundingError, blockError, roundingBlockError } of layers) {
      const [found, rounded] = [outputError ?? blockError, roundingError ?? roundingBlockError];
      expect(found).toBeGreaterThan(0);
      expect(found).toBeLessThanOrEqual((rounded as number) * (1 + 1e-6));
    }
    await rm(output, { recursive: true });
  }
});

test('AWQ scales a layer that is left out along with the others', async () => {
  const model = join(folder, 'llama');
  await quantize(model, { ...base, bits: 8, method: 'awq', calibration, output, skip: ['*.k_proj'] });
  const [before, after] = [await plainLogits(model, heldOut), await plainLogits(output, heldOut)];
  const scale = meanSquare(
    before,
    before.map((values) => new Float32Array(values.length)),
  );
  expect(meanSquare(before, after)).toBeLessThan(1e-3 * scale);
});

test('no text, too little of it, and odd options are said', async () => {
  const model = join(folder, 'llama');
  const run = (options: object): Promise<unknown> => quantize(model, { ...base, method: 'gptq', output, ...options });
  await expect(run({})).rejects.toThrow(CalibrationError);
  await expect(run({ calibration: { documents: [[1, 2, 3]] } })).rejects.toThrow('has 3 tokens');
  await expect(run({ calibration: { docs: [] } })).rejects.toThrow('documents');
  await expect(run({ calibration, method: 'awq', awq: { objective: 'blok' } })).rejects.toThrow('objective=blok');
  await expect(run({ calibration, method: 'awq+gptq', gptq: { correctInputs: true } })).rejects.toThrow(RecipeError);
});
