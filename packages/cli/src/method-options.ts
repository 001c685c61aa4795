import {
  columnOrders,
  roundingMethods,
  signRoundEfforts,
  type LayerOverride,
  type QuantizeOptions,
  type RoundingMethod,
} from '@llm/quant';
import { linearComputes } from '@llm/tensor';
import { InvalidArgumentError, type Command } from 'commander';
import { choice, groupSize, realNumber, wholeNumber } from './arguments.ts';

/** Settings of single methods and of single layers. */
export interface MethodFlags {
  readonly layer?: readonly LayerOverride[];
  readonly order?: NonNullable<NonNullable<QuantizeOptions['gptq']>['order']>;
  readonly damping?: number;
  readonly staticGroups?: true;
  readonly correctInputs?: true;
  readonly awqObjective?: NonNullable<NonNullable<QuantizeOptions['awq']>['objective']>;
  readonly awqSteps?: number;
  readonly inputScales?: true;
  readonly effort?: NonNullable<NonNullable<QuantizeOptions['signround']>['effort']>;
  readonly iterations?: number;
  readonly learningRate?: number;
  readonly memory?: number;
}

export function methodOptions(command: Command): Command {
  return command
    .option(
      '--layer <recipe>',
      "for layers of a name: '*.v_proj:bits=8,group-size=32,rounding=rtn'; may be repeated",
      layers,
    )
    .addOption(choice('--order <name>', 'gptq: order of the columns (default: group-aware)', columnOrders))
    .option('--damping <share>', 'gptq: of the mean of the diagonal (default: 0.05)', realNumber(0, 0.999))
    .option('--static-groups', 'gptq: fit all grids before any column is rounded')
    .option('--correct-inputs', 'gptq: make up for what earlier layers did to the input too (GPTAQ)')
    .addOption(choice('--awq-objective <name>', 'awq: what decides (default: gram)', ['gram', 'block']))
    .option('--awq-steps <n>', 'awq: exponents that are tried (default: 10)', wholeNumber(1))
    .option('--input-scales', 'awq, teq: scale what activations such as GELU give to a linear as well')
    .addOption(choice('--effort <name>', 'signround: 50, 200 or 1000 steps (default: light)', signRoundEfforts))
    .option('--iterations <n>', 'teq, signround: steps per block', wholeNumber(0))
    .option('--learning-rate <x>', 'teq, signround', realNumber(0, 10))
    .option('--memory <MiB>', 'for hidden states of the text; more goes to disk (default: 1024)', wholeNumber(1));
}

export function toMethodOptions(flags: MethodFlags): Partial<QuantizeOptions> {
  const { layer, order, damping, staticGroups, correctInputs, awqObjective, awqSteps, effort, memory, inputScales } =
    flags;
  const training = {
    ...(flags.iterations === undefined ? {} : { iterations: flags.iterations }),
    ...(flags.learningRate === undefined ? {} : { learningRate: flags.learningRate }),
  };
  const gptq = {
    ...(order === undefined ? {} : { order }),
    ...(damping === undefined ? {} : { damping }),
    ...(staticGroups === undefined ? {} : { staticGroups }),
    ...(correctInputs === undefined ? {} : { correctInputs }),
  };
  const awq = {
    ...(awqObjective === undefined ? {} : { objective: awqObjective }),
    ...(awqSteps === undefined ? {} : { steps: awqSteps }),
  };
  return {
    ...(layer === undefined ? {} : { layers: layer }),
    ...(Object.keys(gptq).length === 0 ? {} : { gptq }),
    ...(Object.keys(awq).length === 0 ? {} : { awq }),
    ...(Object.keys(training).length === 0 ? {} : { teq: training }),
    ...(effort === undefined && Object.keys(training).length === 0
      ? {}
      : { signround: { ...training, ...(effort === undefined ? {} : { effort }) } }),
    ...(inputScales === undefined ? {} : { inputScales }),
    ...(memory === undefined ? {} : { memory: memory * 2 ** 20 }),
  };
}

type Setting = Omit<LayerOverride, 'match'>;

const settings: Readonly<Record<string, (value: string) => Setting>> = {
  bits: (value) => ({ bits: wholeNumber(2, 8)(value) }),
  'group-size': (value) => ({ groupSize: groupSize(value) }),
  scheme: (value) => ({ scheme: oneOf(['sym', 'asym', 'min'] as const, value) }),
  scales: (value) => ({ scales: oneOf(['half', 'two-level'] as const, value) }),
  rounding: (value) => ({ rounding: oneOf<RoundingMethod>(roundingMethods, value) }),
  compute: (value) => ({ compute: oneOf(linearComputes, value) }),
  'clip-search': (value) => ({ clipSearch: oneOf(['true', 'false'] as const, value) === 'true' }),
};

function oneOf<Value extends string>(values: readonly Value[], text: string): Value {
  const found = values.find((value) => value === text);
  if (found === undefined) throw new InvalidArgumentError(`${text} must be one of ${values.join(', ')}.`);
  return found;
}

/** "name:key=value,key=value", added to those before. */
function layers(text: string, previous: readonly LayerOverride[] = []): LayerOverride[] {
  const at = text.lastIndexOf(':');
  if (at < 1) throw new InvalidArgumentError("It must be a name and settings, such as '*.v_proj:bits=8'.");
  const parts = text.slice(at + 1).split(',');
  const found = parts.map((part): Setting => {
    const [key = '', value = ''] = part.split('=');
    const setting = Object.hasOwn(settings, key) ? settings[key] : undefined;
    if (!setting)
      throw new InvalidArgumentError(`${key} is no setting of a layer; there are ${Object.keys(settings).join(', ')}.`);
    return setting(value);
  });
  return [...previous, Object.assign({ match: text.slice(0, at) }, ...found) as LayerOverride];
}
