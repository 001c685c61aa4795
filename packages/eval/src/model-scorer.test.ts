import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Model } from '@llm/runtime';
import { demoModel, sharedData } from '../../../tools/test/shared-data.mjs';
import { readRows } from './datasets/read-rows.ts';
import { answerRequests } from './loglikelihood.ts';
import { modelScorer } from './model-scorer.ts';
import type { Scorer } from './scorer.ts';
import { taskNamed } from './tasks/registry.ts';

interface Expected {
  readonly models: Readonly<Record<string, ModelScores>>;
}

/** Per task and document, [log-probability, greedy] of each request. */
type ModelScores = Readonly<Record<string, (readonly [number, boolean])[][]>> & {
  readonly rolling: { readonly begin: number; readonly end: number; readonly log_probability: number };
};

// Computed by lm-evaluation-harness 0.4.13 itself: tools/fixtures/make-lm-eval-scores.py.
const fixture = new URL('../fixtures/lm-eval-scores.json', import.meta.url);
const expected = JSON.parse(readFileSync(fixture, 'utf8')) as Expected;
const taskNames = ['lambada_openai', 'piqa', 'winogrande', 'arc_easy'];

for (const [name, scores] of Object.entries(expected.models)) {
  const source = name === 'stories-llama-5m' ? demoModel() : sharedData(name);
  const data = sharedData('lambada_openai') && sharedData();
  const file = name.startsWith('smollm2') ? `${source ?? ''}/SmolLM2-135M-Instruct.Q4_1.gguf` : source;

  (file && source && data ? describe : describe.skip)(`${name} in float32 scores as the harness does`, () => {
    let model: Model;
    let scorer: Scorer;
    beforeAll(async () => {
      model = await Model.load(file ?? '', { compute: 'f32', kvCache: { type: 'f32' } });
      scorer = modelScorer(model);
    });
    afterAll(() => model.dispose());

    // All 60 agree (LLM_TEST_DOCUMENTS=60); a few are enough to see it each time.
    const count = Number(process.env['LLM_TEST_DOCUMENTS'] ?? (name.startsWith('smollm2') ? 2 : 8));

    test.each(taskNames)('%s', async (taskName) => {
      const task = taskNamed(taskName);
      const rows = await readRows(task, data ?? '');
      const documents = task.documents(rows.slice(0, count));
      for (const [i, document] of documents.entries()) {
        const answers = await answerRequests(scorer, task.requests(document));
        const wanted = scores[taskName]![i]!;
        expect(answers.map(({ greedy }) => greedy)).toEqual(wanted.map(([, greedy]) => greedy));
        answers.forEach(({ logProbability }, j) => {
          expect(Math.abs(logProbability - wanted[j]![0])).toBeLessThan(1e-3);
        });
      }
    });

    test('a long text in rolling windows', async () => {
      const { begin, end, log_probability } = scores.rolling;
      const text = readFileSync(sharedData('wikitext2', 'wiki.test.raw') ?? '', 'utf8').slice(begin, end);
      const [answer] = await answerRequests(scorer, [{ kind: 'rolling', text }]);
      expect(Math.abs((answer?.logProbability ?? 0) - log_probability)).toBeLessThan(1e-2);
    });
  });
}

describe('the shipped model', () => {
  let model: Model;
  beforeAll(async () => {
    model = await Model.load(demoModel());
  });
  afterAll(() => model.dispose());

  test('continuations that share a context score as each does alone', async () => {
    const scorer = modelScorer(model);
    const context = scorer.encode('Once upon a time, there was a');
    const continuations = [[500, 600, 700], [800], [500, 601]];
    const together = await scorer.score(context, continuations);
    for (const [i, continuation] of continuations.entries()) {
      const [alone] = await scorer.score(context, [continuation]);
      expect(together[i]!.greedy).toBe(alone!.greedy);
      continuation.forEach((_, j) => {
        expect(together[i]!.logProbabilities[j]).toBeCloseTo(alone!.logProbabilities[j]!, 5);
      });
    }
    expect(model.stats().freeBlocks).toBe(model.stats().blocks);
  });
});
