import {
  ropeTable,
  width,
  type CacheDescription,
  type Graph,
  type Instruction,
  type LinearCompute,
  type Node,
  type ProgramDescription,
  type RopeAttributes,
} from '@llm/tensor';

import { UnsupportedGraphError } from '../errors.ts';
import { fuse } from './fuse.ts';
import type { Operation } from './operation.ts';
import { planMemory, type MemoryPlan } from './plan-memory.ts';
import { schedule, type Stages } from './schedule.ts';
import type { Weights } from './weights.ts';

/** A graph and the two values that are wanted of it. */
export interface Results {
  readonly graph: Graph;
  readonly logits: Node;
  /** What the head reads: the last hidden states. */
  readonly hidden: Node;
}

export interface CompileOptions {
  /** The most tokens in one step. */
  readonly maxTokens: number;
  /** The most tokens of a sequence: rows of the rotary tables. */
  readonly contextLength: number;
  /** Arithmetic on all packed weights; undefined: as each weight asks for, else int8. */
  readonly compute: LinearCompute | undefined;
  readonly cache: Pick<CacheDescription, 'type' | 'blockTokens' | 'blocks'>;
}

/** What a program will look like, found out without touching a weight. */
export interface ProgramPlan {
  /** Instructions that need nothing of each other share a stage; threads wait for each other between stages only. */
  readonly stages: Stages;
  readonly memory: MemoryPlan;
  readonly cache: CacheDescription;
}

/**
 * Fuses a graph, puts its instructions into stages, and its values into an arena.
 * @throws {@link UnsupportedGraphError}
 */
export function planProgram(
  { graph, logits, hidden }: Results,
  weights: Weights,
  options: Pick<CompileOptions, 'compute' | 'cache'>,
): ProgramPlan {
  const results = [logits, hidden];
  const stages = schedule(fuse(results, weights, options.compute));
  return { stages, memory: planMemory(stages, results), cache: { ...cacheShape(graph), ...options.cache } };
}

/**
 * Turns a graph into what the native executor runs.
 * @throws {@link UnsupportedGraphError}
 */
export function compile(results: Results, weights: Weights, options: CompileOptions): ProgramDescription {
  const { stages, memory, cache } = planProgram(results, weights, options);
  const ropeTables = new RopeTables(options.contextLength);
  const lowering = {
    buffer: (node: Node): number => memory.bufferOf.get(node) ?? notComputed(node),
    ropeTable: (rope: RopeAttributes) => ropeTables.index(rope),
  };
  const lower = (operation: Operation, index: number): Instruction[] => {
    const instruction = operation.lower(lowering, index > 0);
    const [written] = operation.writes;
    const { replaces } = operation;
    if (!replaces || !written || !memory.copied.has(written)) return [instruction];
    return [{ op: 'scale', in: lowering.buffer(replaces), out: lowering.buffer(written), factor: 1 }, instruction];
  };
  return {
    maxTokens: options.maxTokens,
    vocabularySize: width(results.logits.shape),
    buffers: memory.buffers,
    rowFloats: memory.tokenFloats + memory.outputFloats,
    instructions: stages.flatMap((stage) => stage.flatMap(lower)),
    cache,
    ropeTables: ropeTables.tables,
    logits: lowering.buffer(results.logits),
    hidden: lowering.buffer(results.hidden),
  };
}

function notComputed(node: Node): never {
  throw new UnsupportedGraphError(`node ${node.id} (${node.op})`, 'nothing computes its value');
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
