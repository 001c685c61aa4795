import { createHash } from 'node:crypto';
import { openCheckpoint, type Checkpoint } from '@llm/models';
import type { Graph } from '@llm/tensor';
import type { OutputTensor } from './output/layout.ts';

/** A dense tensor that goes into the output as it is, or as float32 where the format stores it in a way of its own. */
export interface DenseTensor extends OutputTensor {
  readonly verbatim: boolean;
}

/** Opens a model, or takes one that the caller has open (and keeps). */
export async function openSource(source: string | Checkpoint): Promise<Checkpoint & Disposable> {
  return typeof source === 'string' ? openCheckpoint(source) : borrowed(source);
}

/** The same checkpoint, not to be disposed of by us. */
function borrowed(checkpoint: Checkpoint): Checkpoint {
  return new Proxy(checkpoint, {
    get: (target, key) => {
      if (key === Symbol.dispose) return () => undefined;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

/**
 * The weights of the graph that a run does not quantize.
 * @param changed - those that it changes all the same: they become float32
 */
export function denseTensors(
  checkpoint: Checkpoint,
  graph: Graph,
  quantized: ReadonlySet<string>,
  changed: ReadonlySet<string>,
): DenseTensor[] {
  const weights = graph.nodes.flatMap((node) => (node.op === 'weight' ? [node.attributes] : []));
  const shapes = new Map(weights.map(({ name, shape }) => [name, shape]));
  return graph.weightNames
    .filter((name) => !quantized.has(name) && (checkpoint.has(name) || changed.has(name)))
    .map((name): DenseTensor => {
      const info = checkpoint.tensors.get(name);
      if (info && checkpoint.format === 'safetensors' && !changed.has(name))
        return { name, dtype: info.dtype, shape: info.shape, byteLength: info.byteLength, verbatim: true };
      const shape = shapes.get(name) ?? [];
      const byteLength = shape.reduce((size, dimension) => size * dimension, 4);
      return { name, dtype: 'F32', shape, byteLength, verbatim: false };
    });
}

/** Bytes read from each tensor for the fingerprint: enough to tell two fine-tunes apart without reading gigabytes. */
const SAMPLE_BYTES = 4096;

/** A hash of the model and of everything that decides the result: an unfinished output of another one is not continued. */
export function fingerprintOf(checkpoint: Checkpoint, settings: unknown, sequences: readonly Int32Array[]): string {
  const hash = createHash('sha256').update(JSON.stringify([settings, checkpoint.config]));
  for (const { name, dtype, shape, storage, offset, byteLength } of checkpoint.tensors.values()) {
    hash.update(JSON.stringify([name, dtype, shape, byteLength]));
    const length = Math.min(SAMPLE_BYTES, byteLength);
    hash.update(storage.read(offset, length));
    hash.update(storage.read(offset + byteLength - length, length));
  }
  for (const tokens of sequences) hash.update(tokens);
  return hash.digest('hex');
}
