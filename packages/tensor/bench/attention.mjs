// What attention costs at growing contexts, by itself: time of a step, and the rate at which keys and values are read.
//   node packages/tensor/bench/attention.mjs [--json] [--threads N]      after `npm run build`
import { cpuInfo, timeAttention } from '@llm/tensor';

const json = process.argv.includes('--json');
const threads = Number(process.argv[process.argv.indexOf('--threads') + 1]) || 1;
const shapes = {
  'llama-2-7b, 4 layers': { layers: 4, heads: 32, kvHeads: 32, headDim: 128 },
  'llama-3-8b, 8 layers': { layers: 8, heads: 32, kvHeads: 8, headDim: 128 },
  'tinyllama-1.1b, 22 layers': { layers: 22, heads: 32, kvHeads: 4, headDim: 64 },
};

const results = [];
for (const [model, shape] of Object.entries(shapes))
  for (const cacheType of ['f32', 'f16', 'int8'])
    for (const context of [0, 2048, 8192])
      for (const queries of [1, 64]) {
        const timing = timeAttention({ ...shape, tokens: context + queries, queries, cacheType, threads });
        const [fastest, median] = [timing.seconds[0], timing.seconds[timing.seconds.length >> 1]];
        results.push({
          ...{ model, cacheType, context, queries },
          milliseconds: median * 1e3,
          fastestMilliseconds: fastest * 1e3,
          gigabytesPerSecond: timing.cacheBytes / median / 1e9,
          gigaproductsPerSecond: timing.products / median / 1e9,
        });
      }

if (json) {
  console.log(JSON.stringify({ isa: cpuInfo().isa, threads, results }, null, 2));
} else {
  console.log(`${cpuInfo().isa}, ${threads} thread(s); median of 9 steps, the fastest in brackets`);
  for (const r of results)
    console.log(
      `${r.model.padEnd(26)} ${r.cacheType.padEnd(4)} context ${String(r.context).padStart(5)} tokens ${String(r.queries).padStart(3)}` +
        ` ${r.milliseconds.toFixed(3).padStart(10)} ms (${r.fastestMilliseconds.toFixed(3)})` +
        ` ${r.gigabytesPerSecond.toFixed(1).padStart(6)} GB/s ${r.gigaproductsPerSecond.toFixed(1).padStart(6)} Gproducts/s`,
    );
}
