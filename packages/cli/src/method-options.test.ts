import { expect, test } from '@jest/globals';
import { Command } from 'commander';
import { methodOptions, toMethodOptions, type MethodFlags } from './method-options.ts';

function parse(...args: string[]): unknown {
  const command = methodOptions(new Command('quantize').exitOverride().configureOutput({ writeErr: () => undefined }));
  return toMethodOptions(command.parse(args, { from: 'user' }).opts<MethodFlags>());
}

test('flags become the options of their methods, and none become none', () => {
  expect(parse()).toEqual({});
  expect(parse('--order', 'natural', '--damping', '0.1', '--static-groups', '--correct-inputs')).toEqual({
    gptq: { order: 'natural', damping: 0.1, staticGroups: true, correctInputs: true },
  });
  expect(parse('--awq-objective', 'block', '--awq-steps', '4', '--memory', '2', '--input-scales')).toEqual({
    inputScales: true,
    awq: { objective: 'block', steps: 4 },
    memory: 2 ** 21,
  });
  const training = { iterations: 7, learningRate: 0.5 };
  expect(parse('--iterations', '7', '--learning-rate', '0.5', '--effort', 'best')).toEqual({
    teq: training,
    signround: { ...training, effort: 'best' },
  });
});

test('recipes of single layers', () => {
  expect(
    parse('--layer', '*.v_proj:bits=8,group-size=32,rounding=rtn', '--layer', '*.o_proj:scheme=asym,clip-search=true'),
  ).toEqual({
    layers: [
      { match: '*.v_proj', bits: 8, groupSize: 32, rounding: 'rtn' },
      { match: '*.o_proj', scheme: 'asym', clipSearch: true },
    ],
  });
  expect(() => parse('--layer', '*.v_proj')).toThrow('a name and settings');
  expect(() => parse('--layer', '*.v_proj:bit=8')).toThrow('bit is no setting of a layer');
  expect(() => parse('--layer', '*.v_proj:bits=9')).toThrow('whole number from 2 to 8');
  expect(() => parse('--layer', '*.v_proj:rounding=gpt')).toThrow('one of rtn, hqq, gptq, signround');
});
