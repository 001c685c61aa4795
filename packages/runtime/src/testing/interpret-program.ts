import type {
  Activation,
  AttentionInstruction,
  HeadSlice,
  Instruction,
  LinearInstruction,
  NormDescription,
  ProgramDescription,
  Slice,
} from '@llm/tensor';

/** Runs a description on one sequence from its first token, plainly and in double precision, in the arena as it is planned. */
export function interpretProgram(
  program: ProgramDescription,
  tokens: readonly number[],
  outputs: readonly number[],
): { logits: Float64Array; hidden: Float64Array } {
  const machine = new Machine(program, tokens, outputs);
  for (const instruction of program.instructions) machine.run(instruction);
  return { logits: machine.values(program.logits), hidden: machine.values(program.hidden) };
}

class Machine {
  readonly #program: ProgramDescription;
  readonly #tokens: readonly number[];
  readonly #outputs: readonly number[];
  /** NaN where nothing was written, so that reading what does not exist shows. */
  readonly #arena: Float64Array;

  constructor(program: ProgramDescription, tokens: readonly number[], outputs: readonly number[]) {
    this.#program = program;
    this.#tokens = tokens;
    this.#outputs = outputs;
    this.#arena = new Float64Array(program.rowFloats * program.maxTokens).fill(NaN);
  }

  values(buffer: number): Float64Array {
    const { width, rows } = this.#buffer(buffer);
    const count = rows === 'tokens' ? this.#tokens.length : this.#outputs.length;
    return Float64Array.from(
      Array.from({ length: count }, (_, row) => [...this.#row(buffer, row)])
        .flat()
        .slice(0, count * width),
    );
  }

  run(instruction: Instruction): void {
    switch (instruction.op) {
      case 'embed': {
        const { scale = 1, table, out } = instruction;
        this.#tokens.forEach((token, row) => {
          this.#row(out, row).set(table.toFloat32(token, token + 1).map((value) => value * scale));
        });
        return;
      }
      case 'positions': {
        const { table, offset, out } = instruction;
        this.#tokens.forEach((_, position) => {
          const added = table.toFloat32(position + offset, position + offset + 1);
          const row = this.#row(out, position);
          row.forEach((value, i) => (row[i] = value + (added[i] ?? NaN)));
        });
        return;
      }
      case 'norm':
        this.#each(instruction.in, (row, index) => {
          this.#row(instruction.out, index).set(normalised(row, instruction.norm));
        });
        return;
      case 'headNorm':
        this.#each(instruction.slice.buffer, (row) => {
          for (let head = 0; head < instruction.heads; head++) {
            const part = headOf(row, instruction.slice, head, instruction.norm.weight.length);
            part.set(normalised(part, instruction.norm));
          }
        });
        return;
      case 'linear':
        this.#linear(instruction);
        return;
      case 'attention':
        this.#attention(instruction);
        return;
      case 'add':
      case 'mul':
        this.#each(instruction.a, (a, index) => {
          const b = this.#row(instruction.b, index).slice();
          const out = a.map((value, i) => (instruction.op === 'add' ? value + (b[i] ?? NaN) : value * (b[i] ?? NaN)));
          this.#row(instruction.out, index).set(out);
        });
        return;
      case 'take':
        this.#each(instruction.in, (row, index) => {
          this.#row(instruction.out, index).set(Float64Array.from(instruction.channels, (c) => row[c] ?? NaN));
        });
        return;
      case 'outputs':
        this.#outputs.forEach((token, index) => {
          this.#row(instruction.out, index).set(this.#row(instruction.in, token));
        });
        return;
      default:
        this.#each(instruction.in, (row, index) => {
          this.#row(instruction.out, index).set(row.map(elementwise(instruction)));
        });
    }
  }

  #linear({ in: input, norm, parts, epilogue }: LinearInstruction): void {
    const results = parts.map(({ weight, bias }) => {
      const w = weight.toFloat32();
      const rows: Float64Array[] = [];
      this.#each(input, (row) => {
        const x = norm ? normalised(row, norm) : row;
        rows.push(
          Float64Array.from({ length: weight.rows }, (_, o) =>
            x.reduce((sum, value, i) => sum + value * (w[o * weight.columns + i] ?? NaN), bias?.[o] ?? 0),
          ),
        );
      });
      return rows;
    });
    parts.forEach(({ out }, part) => {
      if (epilogue.kind === 'gated' && part > 0) return;
      results[part]?.forEach((y, row) => {
        const target = this.#slice(out, row, y.length);
        const finished = y.map((value, i) => {
          if (epilogue.kind === 'activation') return activate(epilogue.activation, value);
          if (epilogue.kind === 'gated') return activate(epilogue.activation, value) * (results[1]?.[row]?.[i] ?? NaN);
          if (epilogue.kind === 'none') return value;
          return epilogue.residuals.reduce((sum, residual) => sum + (this.#row(residual, row)[i] ?? NaN), value);
        });
        target.set(finished);
      });
    });
  }

  #attention(instruction: AttentionInstruction): void {
    const { heads, kvHeads, q, k, v, out, scale, window = 0, softcap = 0, alibi } = instruction;
    const { keyDim } = this.#program.cache;
    const at = (slice: HeadSlice, row: number, head: number): Float64Array =>
      headOf(this.#row(slice.buffer, row), slice, head, keyDim).slice();
    const prepared = (slice: HeadSlice, row: number, head: number, norm: NormDescription | undefined): Float64Array =>
      this.#rotated(norm ? normalised(at(slice, row, head), norm) : at(slice, row, head), row, instruction);
    const rows = this.#tokens.map((_, row) => row);
    const keys = rows.map((row) =>
      Array.from({ length: kvHeads }, (_, head) => prepared(k, row, head, instruction.keyNorm)),
    );
    const values = rows.map((row) => Array.from({ length: kvHeads }, (_, head) => at(v, row, head)));
    const results = rows.map((row) =>
      Array.from({ length: heads }, (_, head) => {
        const query = prepared(q, row, head, instruction.queryNorm);
        const kv = Math.floor((head * kvHeads) / heads);
        const seen = rows.filter((other) => other <= row && (window === 0 || other > row - window));
        const scores = seen.map((other) => {
          const product = query.reduce((sum, value, d) => sum + value * (keys[other]?.[kv]?.[d] ?? NaN), 0) * scale;
          const capped = softcap === 0 ? product : softcap * Math.tanh(product / softcap);
          return capped + (alibi?.[head] ?? 0) * (other - row);
        });
        const peak = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - peak));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        return query.map((_, d) =>
          seen.reduce((sum, other, i) => sum + ((weights[i] ?? NaN) / total) * (values[other]?.[kv]?.[d] ?? NaN), 0),
        );
      }),
    );
    results.forEach((byHead, row) => {
      byHead.forEach((values, head) => {
        headOf(this.#row(out.buffer, row), out, head, keyDim).set(values);
      });
    });
  }

  #rotated(head: Float64Array, position: number, { rope }: AttentionInstruction): Float64Array {
    const table = rope && this.#program.ropeTables[rope.table];
    if (!table) return head;
    const half = table.rotaryDim / 2;
    const out = head.slice();
    for (let i = 0; i < half; i++) {
      const [first, second] = rope.style === 'half' ? [i, i + half] : [2 * i, 2 * i + 1];
      const cos = table.values[(position * half + i) * 2] ?? NaN;
      const sin = table.values[(position * half + i) * 2 + 1] ?? NaN;
      out[first] = (head[first] ?? NaN) * cos - (head[second] ?? NaN) * sin;
      out[second] = (head[second] ?? NaN) * cos + (head[first] ?? NaN) * sin;
    }
    return out;
  }

  #each(buffer: number, visit: (row: Float64Array, index: number) => void): void {
    const count = this.#buffer(buffer).rows === 'tokens' ? this.#tokens.length : this.#outputs.length;
    for (let row = 0; row < count; row++) visit(this.#row(buffer, row), row);
  }

  #buffer(index: number): ProgramDescription['buffers'][number] {
    const buffer = this.#program.buffers[index];
    if (!buffer) throw new RangeError(`There is no buffer ${index}.`);
    return buffer;
  }

  #row(buffer: number, row: number): Float64Array {
    const { offset, width } = this.#buffer(buffer);
    const begin = offset * this.#program.maxTokens + row * width;
    return this.#arena.subarray(begin, begin + width);
  }

  #slice({ buffer, column }: Slice, row: number, length: number): Float64Array {
    return this.#row(buffer, row).subarray(column, column + length);
  }
}

function headOf(row: Float64Array, { column, headStride }: HeadSlice, head: number, headDim: number): Float64Array {
  return row.subarray(column + head * headStride, column + head * headStride + headDim);
}

function normalised(x: Float64Array, { kind, weight, bias, epsilon }: NormDescription): Float64Array {
  const mean = kind === 'layer' ? x.reduce((sum, value) => sum + value, 0) / x.length : 0;
  const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
  return x.map((value, i) => ((value - mean) / Math.sqrt(variance + epsilon)) * (weight[i] ?? NaN) + (bias?.[i] ?? 0));
}

function elementwise(instruction: Extract<Instruction, { in: number; out: number }>): (x: number) => number {
  switch (instruction.op) {
    case 'scale':
      return (x) => x * instruction.factor;
    case 'softcap':
      return (x) => instruction.cap * Math.tanh(x / instruction.cap);
    case 'clamp':
      return (x) => Math.min(Math.max(x, instruction.min), instruction.max);
    case 'silu':
    case 'gelu':
    case 'geluTanh':
    case 'relu':
      return (x) => activate(instruction.op, x);
    default:
      throw new TypeError(`${instruction.op} does not work on single elements.`);
  }
}

function activate(activation: Activation, x: number): number {
  switch (activation) {
    case 'silu':
      return x / (1 + Math.exp(-x));
    case 'relu':
      return Math.max(x, 0);
    case 'geluTanh':
      return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
    case 'gelu':
      return x * normalDistribution(x);
  }
}

/** By Simpson's rule from 0, which is plain and precise enough: 1e-10 and better. */
function normalDistribution(x: number): number {
  const steps = 200;
  const h = x / steps;
  const density = (t: number): number => Math.exp((-t * t) / 2) / Math.sqrt(2 * Math.PI);
  let sum = density(0) + density(x);
  for (let i = 1; i < steps; i++) sum += density(i * h) * (i % 2 === 0 ? 2 : 4);
  return 0.5 + (sum * h) / 3;
}
