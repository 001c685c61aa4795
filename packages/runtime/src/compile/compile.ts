import {
  ropeTable,
  width,
  type CacheDescription,
  type Graph,
  type Instruction,
  type Node,
  type ProgramDescription,
  type RopeAttributes,
} from '@llm/tensor';

import { UnsupportedGraphError } from '../errors.ts';
import { isActivation } from './activations.ts';
import { fuse } from './fuse.ts';
import { inputOf } from './inputs.ts';
import type { Operation } from './operation.ts';
import { planMemory } from './plan-memory.ts';
import { schedule } from './schedule.ts';
import type { Weights } from './weights.ts';

export interface CompileOptions {
  /** The most tokens in one step. */
  readonly maxTokens: number;
  /** The most tokens of a sequence: rows of the rotary tables. */
  readonly contextLength: number;
  readonly compute: 'int8' | 'f32';
  readonly cache: Pick<CacheDescription, 'type' | 'blockTokens' | 'blocks'>;
}

export interface CompiledProgram {
  readonly description: ProgramDescription;
  /** Instructions that need nothing of each other share a stage; a step waits for all threads between stages. */
  readonly stages: number;
  /** Floats per token that the arena has, and would have if no values shared memory. */
  readonly arena: { readonly peak: number; readonly sum: number };
}

/**
 * Turns a graph into what the native executor runs: patterns are fused, instructions put into stages, and values into a
 * planned arena.
 * @throws {@link UnsupportedGraphError}
 */
export function compile(graph: Graph, result: Node, weights: Weights, options: CompileOptions): CompiledProgram {
  const logits = result.shape[0] === 'O' ? result : (graph.add('lastTokens', [result], {}) as Node);
  const hidden = headInput(logits);
  const results = [logits, hidden];
  const stages = schedule(fuse(results, weights, options.compute));
  const memory = planMemory(stages, results);

  const ropeTables = new RopeTables(options.contextLength);
  const lowering = {
    buffer: (node: Node): number => memory.bufferOf.get(node) ?? notComputed(node),
    ropeTable: (rope: RopeAttributes) => ropeTables.index(rope),
  };
  const lower = (operation: Operation): Instruction[] => {
    const instruction = operation.lower(lowering);
    const [written] = operation.writes;
    const { replaces } = operation;
    if (!replaces || !written || !memory.copied.has(written)) return [instruction];
    return [{ op: 'scale', in: lowering.buffer(replaces), out: lowering.buffer(written), factor: 1 }, instruction];
  };

  return {
    description: {
      maxTokens: options.maxTokens,
      vocabularySize: width(logits.shape),
      buffers: memory.buffers,
      rowFloats: memory.rowFloats,
      instructions: stages.flat().flatMap(lower),
      cache: { ...cacheShape(graph), ...options.cache },
      ropeTables: ropeTables.tables,
      logits: lowering.buffer(logits),
      hidden: lowering.buffer(hidden),
    },
    stages: stages.length,
    arena: { peak: memory.rowFloats, sum: memory.sumFloats },
  };
}

function notComputed(node: Node): never {
  throw new UnsupportedGraphError(`node ${node.id} (${node.op})`, 'nothing computes its value');
}

/** The final hidden states: what the last linear before the logits reads. */
function headInput(logits: Node): Node {
  let node = logits;
  while (node.op === 'softcap' || node.op === 'scale' || node.op === 'lastTokens' || isActivation(node))
    node = inputOf(node);
  return node.op === 'linear' ? inputOf(node) : node;
}

/** Layers, heads and their size, which all layers share in one pool of blocks. */
function cacheShape(graph: Graph): Pick<CacheDescription, 'layers' | 'kvHeads' | 'keyDim' | 'valueDim'> {
  const shapes = graph.nodes.filter((node) => node.op === 'attention').map((node) => node.attributes);
  const [first] = shapes;
  if (!first) throw new UnsupportedGraphError('the whole', 'it has no attention');
  const { kvHeads, headDim } = first;
  const other = shapes.find((shape) => shape.kvHeads !== kvHeads || shape.headDim !== headDim);
  if (other) throw new UnsupportedGraphError(`attention of layer ${other.layer}`, 'its heads differ from other layers');
  const layers = 1 + Math.max(...shapes.map(({ layer }) => layer));
  return { layers, kvHeads, keyDim: headDim, valueDim: headDim };
}

/** One table per kind of rotation. */
class RopeTables {
  readonly tables: { rotaryDim: number; values: Float32Array }[] = [];
  readonly #indices = new Map<string, number>();
  readonly #positions: number;

  constructor(positions: number) {
    this.#positions = positions;
  }

  index(rope: RopeAttributes): number {
    const { rotaryDim, theta, scaling } = rope;
    const key = JSON.stringify({ rotaryDim, theta, scaling });
    const known = this.#indices.get(key);
    if (known !== undefined) return known;
    this.#indices.set(key, this.tables.length);
    return this.tables.push({ rotaryDim, values: Float32Array.from(ropeTable(rope, this.#positions)) }) - 1;
  }
}
