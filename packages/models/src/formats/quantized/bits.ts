/**
 * Takes apart fields of `bits` bits that follow each other, lowest first, in 32-bit words. The words of one stream are `stride`
 * apart, beginning at `start`. For 2, 4 and 8 bits no field crosses a word; 3 bits run on across words.
 */
export function unpackStream(
  words: Uint32Array,
  start: number,
  stride: number,
  bits: number,
  out: Uint8Array,
  to: number,
  count: number,
): void {
  const mask = (1 << bits) - 1;
  let at = start;
  let buffer = 0;
  let held = 0;
  for (let i = 0; i < count; i++) {
    if (held < bits) {
      const word = words[at] as number;
      at += stride;
      out[to + i] = (buffer | (word << held)) & mask;
      buffer = word >>> (bits - held);
      held += 32 - bits;
    } else {
      out[to + i] = buffer & mask;
      buffer >>>= bits;
      held -= bits;
    }
  }
}

/** Columns of a matrix of words that are unpacked side by side: a cache line of them. */
const SIDE_BY_SIDE = 16;

/** [count · bits / 32, rows] words as [rows, count] codes: `unpackStream` of every column, in an order that suits caches. */
export function unpackColumns(words: Uint32Array, bits: number, rows: number, count: number, out: Uint8Array): void {
  if (32 % bits !== 0) {
    for (let row = 0; row < rows; row++) unpackStream(words, row, rows, bits, out, row * count, count);
    return;
  }
  const perWord = 32 / bits;
  const mask = (1 << bits) - 1;
  for (let begin = 0; begin < rows; begin += SIDE_BY_SIDE) {
    const end = Math.min(rows, begin + SIDE_BY_SIDE);
    for (let at = 0; at < count; at += perWord) {
      for (let row = begin; row < end; row++) {
        let word = words[(at / perWord) * rows + row] as number;
        const to = row * count + at;
        for (let i = 0; i < perWord; i++) {
          out[to + i] = word & mask;
          word >>>= bits;
        }
      }
    }
  }
}

/** The inverse of `unpackStream`. */
export function packStream(
  codes: Uint8Array,
  from: number,
  step: number,
  count: number,
  bits: number,
  words: Uint32Array,
  start: number,
  stride: number,
): void {
  let at = start;
  let buffer = 0;
  let held = 0;
  for (let i = 0; i < count; i++) {
    const code = codes[from + i * step] as number;
    buffer |= code << held;
    held += bits;
    if (held < 32) continue;
    words[at] = buffer;
    at += stride;
    held -= 32;
    buffer = held === 0 ? 0 : code >>> (bits - held);
  }
  if (held > 0) words[at] = buffer;
}

/** Words that hold so many fields without gaps. */
export function wordCount(count: number, bits: number): number {
  return Math.ceil((count * bits) / 32);
}
