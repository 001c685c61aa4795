// Damages files in ways that find readers which believe what they read. The same seed gives the same damage.

import { Buffer } from 'node:buffer';

/** Numbers from 0 to below 2^32 (mulberry32). */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
}

const interesting = [0, 1, 0x7f, 0x80, 0xff, 0x22, 0x2c, 0x7b, 0x7d, 0x2d, 0x39];

/** A damaged copy of `bytes`; the damage begins between `from` and `to`. */
export function mutate(bytes, next, from = 0, to = bytes.length) {
  let result = Buffer.from(bytes);
  const rounds = 1 + (next() % 4);
  for (let round = 0; round < rounds; round++) {
    const end = Math.min(to, result.length);
    if (end <= from) break;
    const at = from + (next() % (end - from));
    switch (next() % 8) {
      case 0:
        result[at] ^= 1 << (next() % 8);
        break;
      case 1:
        result[at] = interesting[next() % interesting.length];
        break;
      case 2:
        result[at] = next() & 255;
        break;
      case 3: {
        // A length or an offset that is huge, or just off.
        const value = [0xffffffffffffffffn, 0x7fffffffffffffffn, 1n << 53n, 1n << 32n, BigInt(bytes.length), 0n][
          next() % 6
        ];
        if (at + 8 <= result.length) result.writeBigUInt64LE(value, at);
        break;
      }
      case 4:
        if (at + 4 <= result.length) result.writeUInt32LE(next(), at);
        break;
      case 5:
        result = result.subarray(0, at);
        break;
      case 6: {
        const length = next() % 16;
        result = Buffer.concat([result.subarray(0, at), result.subarray(at + length)]);
        break;
      }
      default: {
        const length = next() % 64;
        const source = from + (next() % (end - from));
        result = Buffer.concat([result.subarray(0, at), result.subarray(source, source + length), result.subarray(at)]);
      }
    }
  }
  return result;
}
