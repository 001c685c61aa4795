import type { Checkpoint } from '@llm/models';
import type { Recipe } from '../recipe.ts';
import type { QuantizationReport } from '../report.ts';

/** Everything of a quantized model folder but its weights. */
export function modelFiles(
  checkpoint: Checkpoint,
  recipe: Recipe,
  report: QuantizationReport,
  inputScales: readonly string[],
): Map<string, string | Uint8Array> {
  return new Map<string, string | Uint8Array>([
    ...checkpoint.companionFiles(),
    [
      'config.json',
      json({ ...checkpoint.config, quantization_config: quantizationConfig(recipe, report, inputScales) }),
    ],
    ['quantization_report.json', json({ ...report, output: undefined, resumed: undefined })],
  ]);
}

/** What config.json says of the quantization: for readers of the folder; the tensors carry their own formats. `compute` says more: how to multiply by weights. */
function quantizationConfig(recipe: Recipe, { layers }: QuantizationReport, inputScales: readonly string[]): object {
  const computes = layers.flatMap(({ weight, compute }) => (compute ? [[weight, compute] as const] : []));
  const { method, bits = 4, groupSize = 32, scheme = 'sym', scales = 'half', skip, layers: overrides } = recipe;
  return {
    quant_method: 'llm-packed',
    version: 1,
    method,
    bits,
    group_size: groupSize,
    scheme,
    scales,
    symmetric: scheme === 'sym',
    ...(recipe.head !== undefined && { head: recipe.head }),
    ...(recipe.embedding !== undefined && { embedding: recipe.embedding }),
    ...(skip && { modules_to_not_convert: skip }),
    ...(overrides && { overrides }),
    ...(computes.length > 0 && { compute: Object.fromEntries(computes) }),
    ...(inputScales.length > 0 && { input_scales: inputScales }),
    packed_tensors: layers.length,
  };
}

function json(value: unknown): string {
  return JSON.stringify(value, null, 2) + '\n';
}
