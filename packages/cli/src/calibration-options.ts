import type { CalibrationOptions } from '@llm/quant';
import type { Command } from 'commander';
import { wholeNumber } from './arguments.ts';

export interface CalibrationFlags {
  readonly calibration?: string;
  readonly samples?: number;
  readonly sampleTokens?: number;
  readonly seed?: number;
}

/** The text that calibrated methods listen to. */
export function calibrationOptions(command: Command): Command {
  return command
    .option('--calibration <file>', 'text or JSON lines to calibrate on; gptq and awq need it')
    .option('--samples <n>', 'sequences of it (default: 128)', wholeNumber(1))
    .option('--sample-tokens <n>', 'tokens in each (default: 256)', wholeNumber(2))
    .option('--seed <n>', 'of the draw (default: 0)', wholeNumber(0));
}

export function toCalibration(flags: CalibrationFlags): { calibration?: CalibrationOptions } {
  if (flags.calibration === undefined) return {};
  return {
    calibration: {
      documents: flags.calibration,
      ...(flags.samples === undefined ? {} : { samples: flags.samples }),
      ...(flags.sampleTokens === undefined ? {} : { length: flags.sampleTokens }),
      ...(flags.seed === undefined ? {} : { seed: flags.seed }),
    },
  };
}
