import { expect, test } from '@jest/globals';
import { InvalidOptionError, UnknownOptionError } from '@llm/tensor';

import { checkGenerateOptions, checkLoadOptions } from './options.ts';

test('an unknown option names the nearest', () => {
  const load: object = { groupsize: 64 };
  expect(() => {
    checkLoadOptions(load);
  }).toThrow(UnknownOptionError);
  expect(() => {
    checkLoadOptions(load);
  }).toThrow('Did you mean groupSize?');
  const generate: object = { max_tokens: 10 };
  expect(() => {
    checkGenerateOptions(generate);
  }).toThrow('Did you mean maxTokens?');
  expect(() => {
    checkLoadOptions({ kvCache: { typ: 'f16' } as object });
  }).toThrow('Did you mean type?');
});

test.each([
  [{ weights: 'int5' as 'int4' }, 'weights=int5'],
  [{ groupSize: 33 }, 'groupSize=33'],
  [{ groupSize: 2048 }, 'groupSize=2048'],
  [{ compute: 'f16' as 'f32' }, 'compute=f16'],
  [{ threads: 0 }, 'threads=0'],
  [{ threads: { prefill: 2, decode: 1.5 } }, 'threads.decode=1.5'],
  [{ contextLength: -1 }, 'contextLength=-1'],
  [{ kvCache: { type: 'int4' as 'int8' } }, 'kvCache.type=int4'],
  [{ maxMemory: NaN }, 'maxMemory=NaN'],
])('Model.load refuses %j', (options, message) => {
  expect(() => {
    checkLoadOptions(options);
  }).toThrow(InvalidOptionError);
  expect(() => {
    checkLoadOptions(options);
  }).toThrow(message);
});

test.each([
  [{ maxTokens: 0 }, 'maxTokens=0'],
  [{ temperature: -0.1 }, 'temperature=-0.1'],
  [{ temperature: NaN }, 'temperature=NaN'],
  [{ topP: 1.5 }, 'topP=1.5'],
  [{ minP: -1 }, 'minP=-1'],
  [{ topK: 2.5 }, 'topK=2.5'],
  [{ repetitionPenalty: 0 }, 'repetitionPenalty=0'],
  [{ presencePenalty: NaN }, 'presencePenalty=NaN'],
])('generate refuses %j', (options, message) => {
  expect(() => {
    checkGenerateOptions(options);
  }).toThrow(message);
});

test('every sensible option passes', () => {
  checkLoadOptions({
    weights: 'int4',
    groupSize: -1,
    scheme: 'asym',
    compute: 'f32',
    threads: { prefill: 2, decode: 1 },
    kvCache: { type: 'int8', tokens: 100 },
    signal: new AbortController().signal,
  });
  expect(() => {
    checkGenerateOptions({ temperature: 0.7, topP: 0.9, topK: 0, minP: 0.05, seed: 7n, stop: ['a'], stopTokens: [] });
  }).not.toThrow();
});
