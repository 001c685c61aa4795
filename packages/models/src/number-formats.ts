import { LlmError } from '@llm/tensor';

/** Bytes of one element of each type that a safetensors file may hold. */
export const elementBytes = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
} as const;

export type ElementType = keyof typeof elementBytes;

export function isElementType(name: unknown): name is ElementType {
  return typeof name === 'string' && Object.hasOwn(elementBytes, name);
}

/** The float with these IEEE 754 binary16 bits. */
export function halfToFloat(bits: number): number {
  return minifloat(bits, 5, 10, true);
}

/** The bits of the nearest binary16 number, ties to even; out of range becomes infinity. */
export function floatToHalf(value: number): number {
  scratchFloat[0] = value;
  const bits = scratchBits[0] as number;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  // 65520 is the first value that rounds to infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Subnormal: let float32 addition do the rounding, by aligning the last place of 2^-24 with that of the sum.
    scratchFloat[0] = Math.abs(scratchFloat[0]) + 0.5;
    return sign | ((scratchBits[0] as number) - 0x3f000000);
  }
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
}

/** The bits of the nearest bfloat16 number, ties to even. */
export function floatToBfloat16(value: number): number {
  scratchFloat[0] = value;
  const bits = scratchBits[0] as number;
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** Elements of any type as float32. 64-bit integers and floats lose what float32 cannot hold. */
export function decodeElements(type: ElementType, bytes: Uint8Array): Float32Array {
  const count = Math.floor(bytes.byteLength / elementBytes[type]);
  const { buffer, byteOffset } = aligned(bytes, elementBytes[type]);
  switch (type) {
    case 'F32':
      return new Float32Array(buffer, byteOffset, count);
    case 'F16':
      return Float32Array.from(new Uint16Array(buffer, byteOffset, count), lookup(halfTable));
    case 'BF16': {
      const source = new Uint16Array(buffer, byteOffset, count);
      const result = new Float32Array(count);
      const target = new Uint32Array(result.buffer);
      for (let i = 0; i < count; i++) target[i] = (source[i] as number) << 16;
      return result;
    }
    case 'F64':
      return Float32Array.from(new Float64Array(buffer, byteOffset, count));
    case 'I64':
      return Float32Array.from(new BigInt64Array(buffer, byteOffset, count), Number);
    case 'U64':
      return Float32Array.from(new BigUint64Array(buffer, byteOffset, count), Number);
    case 'I32':
      return Float32Array.from(new Int32Array(buffer, byteOffset, count));
    case 'U32':
      return Float32Array.from(new Uint32Array(buffer, byteOffset, count));
    case 'I16':
      return Float32Array.from(new Int16Array(buffer, byteOffset, count));
    case 'U16':
      return Float32Array.from(new Uint16Array(buffer, byteOffset, count));
    case 'I8':
      return Float32Array.from(new Int8Array(buffer, byteOffset, count));
    case 'U8':
    case 'BOOL':
      return Float32Array.from(bytes);
    case 'F8_E4M3':
      return Float32Array.from(bytes, (bits) => ((bits & 0x7f) === 0x7f ? NaN : minifloat(bits, 4, 3, false)));
    case 'F8_E5M2':
      return Float32Array.from(bytes, (bits) => minifloat(bits, 5, 2, true));
  }
}

/** float32 values in one of the float types, little-endian. */
export function encodeFloats(type: 'F32' | 'F16' | 'BF16', values: Float32Array): Uint8Array {
  if (type === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const encode = type === 'F16' ? floatToHalf : floatToBfloat16;
  const result = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) result[i] = encode(values[i] as number);
  return new Uint8Array(result.buffer);
}

/** The product of the dimensions; throws where it leaves the safe integers. */
export function elementCount(shape: readonly number[]): number {
  const count = shape.reduce((product, size) => product * size, 1);
  if (!Number.isSafeInteger(count)) {
    throw new LlmError('INVALID_ARGUMENT', `A tensor of shape ${shape.join(' x ')} is too large.`);
  }
  return count;
}

const scratchFloat = new Float32Array(1);
const scratchBits = new Uint32Array(scratchFloat.buffer);

function minifloat(bits: number, exponentBits: number, mantissaBits: number, infinities: boolean): number {
  const sign = (bits >> (exponentBits + mantissaBits)) & 1 ? -1 : 1;
  const largest = (1 << exponentBits) - 1;
  const exponent = (bits >> mantissaBits) & largest;
  const fraction = (bits & ((1 << mantissaBits) - 1)) / (1 << mantissaBits);
  const bias = largest >> 1;
  if (infinities && exponent === largest) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}

let halves: Float32Array | undefined;

/** All 65536 values of binary16. */
export function halfTable(): Float32Array {
  halves ??= Float32Array.from({ length: 65536 }, (_, bits) => halfToFloat(bits));
  return halves;
}

function lookup(table: () => Float32Array): (index: number) => number {
  const values = table();
  return (index) => values[index] as number;
}

function aligned(bytes: Uint8Array, alignment: number): { buffer: ArrayBuffer; byteOffset: number } {
  const copy = bytes.byteOffset % alignment === 0 && bytes.buffer instanceof ArrayBuffer ? bytes : bytes.slice();
  return { buffer: copy.buffer as ArrayBuffer, byteOffset: copy.byteOffset };
}
