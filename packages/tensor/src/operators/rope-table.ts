import type { RopeAttributes, RopeScaling } from '../graph/attributes.ts';

/**
 * cos and sin of every position below `positions`: [positions][rotaryDim / 2][2].
 *
 * @param contextLength decides between LongRoPE's two sets of factors; default `positions`
 */
export function ropeTable(
  attributes: Pick<RopeAttributes, 'rotaryDim' | 'theta' | 'scaling'>,
  positions: number,
  contextLength: number = positions,
): Float64Array {
  const frequencies = ropeFrequencies(attributes, contextLength);
  const magnitude = ropeMagnitude(attributes.scaling);
  const table = new Float64Array(positions * frequencies.length * 2);
  let at = 0;
  for (let position = 0; position < positions; position++) {
    for (const frequency of frequencies) {
      table[at++] = Math.cos(position * frequency) * magnitude;
      table[at++] = Math.sin(position * frequency) * magnitude;
    }
  }
  return table;
}

/** Radians per position of each rotated pair. */
export function ropeFrequencies(
  { rotaryDim, theta, scaling }: Pick<RopeAttributes, 'rotaryDim' | 'theta' | 'scaling'>,
  contextLength: number,
): Float64Array {
  const frequencies = Float64Array.from({ length: rotaryDim / 2 }, (_, i) => theta ** ((-2 * i) / rotaryDim));
  switch (scaling?.type) {
    case undefined:
      return frequencies;
    case 'linear':
      return frequencies.map((frequency) => frequency / scaling.factor);
    case 'factors':
      return frequencies.map((frequency, i) => frequency / (scaling.factors[i] ?? 1));
    case 'longrope': {
      const factors = contextLength > scaling.originalContext ? scaling.longFactors : scaling.shortFactors;
      return frequencies.map((frequency, i) => frequency / (factors[i] ?? 1));
    }
    case 'llama3':
      return frequencies.map((frequency) => llama3(frequency, scaling));
    case 'yarn':
      return yarn(frequencies, rotaryDim, theta, scaling);
  }
}

/** Wavelengths beyond the original context / lowFrequencyFactor are stretched, those below context / highFrequencyFactor kept. */
function llama3(frequency: number, scaling: Extract<RopeScaling, { type: 'llama3' }>): number {
  const turns = (scaling.originalContext * frequency) / (2 * Math.PI);
  const smooth = (turns - scaling.lowFrequencyFactor) / (scaling.highFrequencyFactor - scaling.lowFrequencyFactor);
  const kept = Math.min(Math.max(smooth, 0), 1);
  return frequency * (kept + (1 - kept) / scaling.factor);
}

/** A ramp over the pairs, between those that turn betaFast times within the original context and those that turn betaSlow times. */
function yarn(
  frequencies: Float64Array,
  rotaryDim: number,
  theta: number,
  scaling: Extract<RopeScaling, { type: 'yarn' }>,
): Float64Array {
  const pairTurning = (turns: number): number =>
    (rotaryDim * Math.log(scaling.originalContext / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const first = pairTurning(scaling.betaFast);
  const last = pairTurning(scaling.betaSlow);
  const low = Math.max(scaling.truncate ? Math.floor(first) : first, 0);
  const high = Math.min(scaling.truncate ? Math.ceil(last) : last, rotaryDim - 1);
  // The public implementations widen an empty ramp by this much.
  const span = high === low ? 0.001 : high - low;
  return frequencies.map((frequency, i) => {
    const stretched = Math.min(Math.max((i - low) / span, 0), 1);
    return frequency * (1 - stretched + stretched / scaling.factor);
  });
}

/** What cos and sin are multiplied by. */
function ropeMagnitude(scaling: RopeScaling | undefined): number {
  return scaling?.type === 'yarn' || scaling?.type === 'longrope' ? scaling.attentionFactor : 1;
}
