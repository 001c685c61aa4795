import type { Matrix } from '../matrix.ts';
import type {
  AttentionInstruction,
  HeadSlice,
  Instruction,
  LinearInstruction,
  NormDescription,
  ProgramDescription,
} from '../program-description.ts';
import { activations } from './activations.ts';

/** A buffer's rows after an instruction. */
export type WatchInstruction = (index: number, instruction: Instruction, rows: readonly Float64Array[]) => void;

export interface ReferenceResult {
  /** One row per output. */
  readonly logits: readonly Float64Array[];
  readonly hidden: readonly Float64Array[];
}

/**
 * What a program computes for a text from its first token on, in plain TypeScript and double precision: no cache, no
 * blocks, no rounding of activations. The measure for the native executor, and the way to look inside a program.
 * @param outputs - positions whose logits are wanted
 */
export function runReference(
  description: ProgramDescription,
  tokens: ArrayLike<number>,
  outputs: readonly number[],
  watch?: WatchInstruction,
): ReferenceResult {
  return new Interpreter(description, Array.from(tokens), outputs, watch).run();
}

class Interpreter {
  readonly #program: ProgramDescription;
  readonly #tokens: readonly number[];
  readonly #outputs: readonly number[];
  readonly #watch: WatchInstruction | undefined;
  readonly #buffers: readonly (readonly Float64Array[])[];

  constructor(
    program: ProgramDescription,
    tokens: readonly number[],
    outputs: readonly number[],
    watch: WatchInstruction | undefined,
  ) {
    this.#program = program;
    this.#tokens = tokens;
    this.#outputs = outputs;
    this.#watch = watch;
    this.#buffers = program.buffers.map(({ rows, width }) =>
      Array.from({ length: rows === 'outputs' ? outputs.length : tokens.length }, () => new Float64Array(width)),
    );
  }

  run(): ReferenceResult {
    for (const [index, instruction] of this.#program.instructions.entries()) {
      this.#run(instruction);
      this.#watch?.(index, instruction, this.#rows(writtenBuffer(instruction)));
    }
    return { logits: this.#rows(this.#program.logits), hidden: this.#rows(this.#program.hidden) };
  }

  #rows(buffer: number): readonly Float64Array[] {
    return this.#buffers[buffer] ?? [];
  }

  /** out = f(the values of the same place in the inputs) */
  #map(inputs: readonly number[], out: number, f: (a: number, b: number) => number): void {
    const [a = 0, b = a] = inputs;
    for (const [row, to] of this.#rows(out).entries()) {
      const left = this.#rows(a)[row];
      const right = this.#rows(b)[row];
      for (let i = 0; i < to.length; i++) to[i] = f(left?.[i] ?? 0, right?.[i] ?? 0);
    }
  }

  #run(instruction: Instruction): void {
    switch (instruction.op) {
      case 'embed':
        for (const [row, to] of this.#rows(instruction.out).entries())
          to.set(matrixRow(instruction.table, this.#tokens[row] ?? 0).map((x) => x * (instruction.scale ?? 1)));
        return;
      case 'positions':
        for (const [row, to] of this.#rows(instruction.out).entries())
          addTo(to, matrixRow(instruction.table, row + instruction.offset));
        return;
      case 'norm':
        for (const [row, to] of this.#rows(instruction.out).entries())
          to.set(normalize(this.#rows(instruction.in)[row] ?? [], instruction.norm));
        return;
      case 'headNorm':
        for (const row of this.#rows(instruction.slice.buffer))
          for (let h = 0; h < instruction.heads; h++) {
            const x = head(row, instruction.slice, h, instruction.norm.weight.length);
            x.set(normalize(x, instruction.norm));
          }
        return;
      case 'linear':
        this.#linear(instruction);
        return;
      case 'attention':
        this.#attention(instruction);
        return;
      case 'add':
        this.#map([instruction.a, instruction.b], instruction.out, (a, b) => a + b);
        return;
      case 'mul':
        this.#map([instruction.a, instruction.b], instruction.out, (a, b) => a * b);
        return;
      case 'silu':
      case 'gelu':
      case 'geluTanh':
      case 'relu':
        this.#map([instruction.in], instruction.out, activations[instruction.op]);
        return;
      case 'scale':
        this.#map([instruction.in], instruction.out, (x) => x * instruction.factor);
        return;
      case 'softcap':
        this.#map([instruction.in], instruction.out, (x) => instruction.cap * Math.tanh(x / instruction.cap));
        return;
      case 'clamp':
        this.#map([instruction.in], instruction.out, (x) => Math.min(Math.max(x, instruction.min), instruction.max));
        return;
      case 'take':
        for (const [row, to] of this.#rows(instruction.out).entries())
          for (const [i, channel] of instruction.channels.entries())
            to[i] = this.#rows(instruction.in)[row]?.[channel] ?? 0;
        return;
      case 'outputs':
        for (const [index, to] of this.#rows(instruction.out).entries())
          to.set(this.#rows(instruction.in)[this.#outputs[index] ?? 0] ?? []);
    }
  }

  #linear({ in: input, sum, norm, parts, epilogue }: LinearInstruction): void {
    for (const [row, given] of this.#rows(input).entries()) {
      let x: ArrayLike<number> = given;
      if (sum) {
        const made = sum.norm ? normalize(given, sum.norm) : Float64Array.from(given);
        if (sum.residual !== undefined) addTo(made, this.#rows(sum.residual)[row] ?? []);
        this.#rows(sum.out)[row]?.set(made);
        x = made;
      }
      const normed = norm ? normalize(x, norm) : x;
      const results = parts.map(({ weight, bias }) => {
        const y = product(normed, weight);
        if (bias) addTo(y, bias);
        return y;
      });
      for (const [index, { out }] of parts.entries()) {
        const y = results[index];
        const to = this.#rows(out.buffer)[row]?.subarray(out.column);
        if (!y || !to) continue;
        if (epilogue.kind === 'gated') {
          if (index > 0) break;
          const activate = activations[epilogue.activation];
          to.set(y.map((value, i) => activate(value) * (results[1]?.[i] ?? 0)));
          continue;
        }
        if (epilogue.kind === 'clamp')
          y.forEach((value, i) => (y[i] = Math.min(Math.max(value, epilogue.min), epilogue.max)));
        if (epilogue.kind === 'activation') y.forEach((value, i) => (y[i] = activations[epilogue.activation](value)));
        if (epilogue.kind === 'add')
          for (const residual of epilogue.residuals)
            addTo(y, (this.#rows(residual)[row] ?? new Float64Array()).subarray(out.column, out.column + y.length));
        to.set(y);
      }
    }
  }

  #attention(a: AttentionInstruction): void {
    const { keyDim, valueDim } = this.#program.cache;
    const { rope } = a;
    const table = rope ? this.#program.ropeTables[rope.table] : undefined;
    const grouped = a.heads / a.kvHeads;
    const prepare = (buffer: HeadSlice, count: number, norm: NormDescription | undefined): void => {
      for (const [position, row] of this.#rows(buffer.buffer).entries())
        for (let h = 0; h < count; h++) {
          const x = head(row, buffer, h, keyDim, grouped);
          if (norm) x.set(normalize(x, norm));
          if (rope && table) rotate(x, table.values, position, table.rotaryDim, rope.style);
        }
    };
    prepare(a.q, a.heads, a.queryNorm);
    prepare(a.k, a.kvHeads, a.keyNorm);

    const keys = this.#rows(a.k.buffer);
    const values = this.#rows(a.v.buffer);
    const out = this.#rows(a.out.buffer);
    for (const [position, row] of this.#rows(a.q.buffer).entries()) {
      const first = a.window ? Math.max(0, position - a.window + 1) : 0;
      for (let h = 0; h < a.heads; h++) {
        const kvHead = Math.floor(h / (a.heads / a.kvHeads));
        const q = head(row, a.q, h, keyDim, grouped);
        const scores = keys.slice(first, position + 1).map((key, index) => {
          let score = dot(q, head(key, a.k, kvHead, keyDim)) * a.scale;
          if (a.softcap) score = a.softcap * Math.tanh(score / a.softcap);
          return score + (a.alibi?.[h] ?? 0) * (first + index - position);
        });
        const peak = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - peak));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        const to = head(out[position] ?? row, a.out, h, valueDim);
        to.fill(0);
        for (const [index, weight] of weights.entries()) {
          const value = head(values[first + index] ?? row, a.v, kvHead, valueDim);
          for (let i = 0; i < valueDim; i++) to[i] = (to[i] ?? 0) + (weight / total) * (value[i] ?? 0);
        }
      }
    }
  }
}

function writtenBuffer(instruction: Instruction): number {
  if (instruction.op === 'linear') return instruction.parts[0]?.out.buffer ?? 0;
  if (instruction.op === 'attention') return instruction.out.buffer;
  return instruction.op === 'headNorm' ? instruction.slice.buffer : instruction.out;
}

function head(row: Float64Array, slice: HeadSlice, index: number, width: number, grouped = 1): Float64Array {
  const { column, headStride, groupStride = grouped * headStride } = slice;
  const start = column + Math.floor(index / grouped) * groupStride + (index % grouped) * headStride;
  return row.subarray(start, start + width);
}

const dense = new WeakMap<Matrix, Float32Array>();

function matrixRow(matrix: Matrix, row: number): Float32Array {
  let values = dense.get(matrix);
  if (!values) dense.set(matrix, (values = matrix.toFloat32()));
  return values.subarray(row * matrix.columns, (row + 1) * matrix.columns);
}

function product(x: ArrayLike<number>, weight: Matrix): Float64Array {
  return Float64Array.from({ length: weight.rows }, (_, row) => dot(x, matrixRow(weight, row)));
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0);
  return sum;
}

function addTo(to: Float64Array, values: ArrayLike<number>): void {
  for (let i = 0; i < to.length; i++) to[i] = (to[i] ?? 0) + (values[i] ?? 0);
}

function normalize(x: ArrayLike<number>, norm: NormDescription): Float64Array {
  const values = Float64Array.from(x);
  if (norm.kind === 'scale') return values.map((value, i) => value * (norm.weight[i] ?? 1));
  const mean = norm.kind === 'layer' ? values.reduce((sum, value) => sum + value, 0) / values.length : 0;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  const factor = 1 / Math.sqrt(variance + norm.epsilon);
  return values.map((value, i) => (value - mean) * factor * (norm.weight[i] ?? 1) + (norm.bias?.[i] ?? 0));
}

function rotate(
  x: Float64Array,
  table: Float32Array,
  position: number,
  rotaryDim: number,
  style: 'half' | 'interleaved',
): void {
  const half = rotaryDim / 2;
  for (let pair = 0; pair < half; pair++) {
    const at = position * rotaryDim + 2 * pair;
    const cos = table[at] ?? 1;
    const sin = table[at + 1] ?? 0;
    const [i, j] = style === 'half' ? [pair, pair + half] : [2 * pair, 2 * pair + 1];
    const [a, b] = [x[i] ?? 0, x[j] ?? 0];
    x[i] = a * cos - b * sin;
    x[j] = b * cos + a * sin;
  }
}
