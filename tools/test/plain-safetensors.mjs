// A checkpoint for tests that must not depend on the library's own reader.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** config.json of a model folder. */
export function readConfig(folder) {
  return JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
}

/** All tensors of a folder's model.safetensors (F32, F16 or BF16) as float32. */
export function readTensors(folder) {
  const file = readFileSync(join(folder, 'model.safetensors'));
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + length).toString());
  delete header.__metadata__;
  const tensors = new Map();
  for (const [
    name,
    {
      dtype,
      shape,
      data_offsets: [begin, end],
    },
  ] of Object.entries(header)) {
    const bytes = Uint8Array.from(file.subarray(8 + length + begin, 8 + length + end));
    tensors.set(name, { shape, data: decode(dtype, bytes.buffer) });
  }
  return tensors;
}

function decode(dtype, buffer) {
  if (dtype === 'F32') return new Float32Array(buffer);
  const halves = new Uint16Array(buffer);
  if (dtype === 'BF16') return new Float32Array(Uint32Array.from(halves, (bits) => bits << 16).buffer);
  if (dtype === 'F16') return Float32Array.from(halves, float16);
  throw new Error(`The test reader does not know ${dtype}.`);
}

function float16(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The weights of a folder by the names that its architecture uses, as float32 [outputs, inputs]. */
export function readWeights(folder, { aliases, isTransposed }) {
  const tensors = readTensors(folder);
  return (name) => {
    const stored = [name, ...aliases(name)].map((other) => tensors.get(other)).find((found) => found);
    if (!stored) throw new Error(`${folder} has no ${name}`);
    if (!isTransposed(name)) return stored;
    const {
      shape: [rows, columns],
      data,
    } = stored;
    return { shape: [columns, rows], data: data.map((_, i) => data[(i % rows) * columns + Math.floor(i / rows)]) };
  };
}
