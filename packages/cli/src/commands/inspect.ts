import { openCheckpoint } from '@llm/models';
import { Model } from '@llm/runtime';
import { Command } from 'commander';
import { modelOptions, type ModelOptions } from '../arguments.ts';
import { toLoadOptions } from '../load-model.ts';
import type { Output } from '../output.ts';
import { modelSource } from '../shipped-models.ts';
import { table } from '../table.ts';
import { bytes } from '../units.ts';

interface InspectOptions extends ModelOptions {
  readonly tensors?: true;
  readonly memory?: true;
}

export function inspect(output: Output): Command {
  const command = new Command('inspect')
    .description('show what a model is made of and what it needs; reads headers only')
    .argument('<model>', 'folder, .gguf file, hf:owner/name, or stories-llama-5m')
    .option('--tensors', 'list every tensor')
    .option('--memory', 'estimate what running it takes');
  const examples =
    '\nExamples:\n  llm inspect model.gguf --tensors\n  llm inspect ./llama-2-7b --memory --weights int4 --context 4096';
  return modelOptions(command)
    .addHelpText('after', examples)
    .action(async (source: string, options: InspectOptions) => {
      using checkpoint = await openCheckpoint(modelSource(source));
      const tensors = [...checkpoint.tensors.values()];
      const byType = new Map<string, { count: number; byteLength: number }>();
      for (const { dtype, byteLength } of tensors) {
        const sum = byType.get(dtype) ?? { count: 0, byteLength: 0 };
        byType.set(dtype, { count: sum.count + 1, byteLength: sum.byteLength + byteLength });
      }
      const computes: Record<string, number> = {};
      for (const { name } of tensors) {
        const compute = checkpoint.compute(name);
        if (compute) computes[compute] = (computes[compute] ?? 0) + 1;
      }
      const memory = options.memory
        ? await Model.estimateMemory(modelSource(source), toLoadOptions(options))
        : undefined;
      const total = tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
      const facts = {
        path: checkpoint.path,
        format: checkpoint.format,
        modelType: checkpoint.config['model_type'],
        bytes: total,
        types: Object.fromEntries(byType),
        computes,
        config: checkpoint.config,
        chatTemplate: checkpoint.chatTemplate() !== undefined,
        ...(memory === undefined ? {} : { memory }),
      };
      if (options.json) {
        const list = tensors.map(({ name, dtype, shape, byteLength }) => {
          const compute = checkpoint.compute(name);
          return { name, dtype, shape, byteLength, ...(compute && { compute }) };
        });
        output.write(JSON.stringify(options.tensors ? { ...facts, tensors: list } : facts, null, 2));
        return;
      }
      const lines = [
        ['path', facts.path],
        ['format', facts.format],
        ['architecture', String(facts.modelType)],
        ['size', `${bytes(total)} in ${tensors.length} tensors`],
        ...[...byType].map(([type, { count, byteLength }]) => [`  ${type}`, `${bytes(byteLength)} in ${count}`]),
        ...Object.entries(computes).map(([type, count]) => [`arithmetic ${type}`, `linears of ${count} weights`]),
        ['chat template', facts.chatTemplate ? 'yes' : 'no'],
        ...Object.entries(facts.config)
          .filter(([, value]) => ['number', 'string', 'boolean'].includes(typeof value))
          .map(([key, value]) => [`  ${key}`, String(value)]),
        ...(memory === undefined
          ? []
          : Object.entries(memory).map(([part, size]) => [`memory: ${part}`, bytes(Number(size))])),
      ];
      output.write(table(lines));
      if (options.tensors)
        output.write(
          table(
            tensors.map(({ name, dtype, shape, byteLength }) => [
              ...[name, dtype, shape.join(' x '), bytes(byteLength)],
              checkpoint.compute(name) ?? '',
            ]),
          ),
        );
    });
}
