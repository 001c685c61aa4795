/**
 * Byte-level BPE writes every byte as a printable character: those that are printable in Latin-1 stand for themselves, the
 * others for the characters from U+0100 on, in order (Radford et al. 2019, GPT-2's `bytes_to_unicode`).
 */
const printable = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);

const characters: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
})();

const bytes: ReadonlyMap<string, number> = new Map(characters.map((character, byte) => [character, byte]));

/** The character that stands for a byte. */
export function byteCharacter(byte: number): string {
  return characters[byte] as string;
}

/** The bytes that a byte-level token stands for; characters that stand for no byte are taken as they are. */
export function bytesOfToken(token: string): Uint8Array {
  const result: number[] = [];
  for (const character of token) {
    const byte = bytes.get(character);
    if (byte === undefined) result.push(...new TextEncoder().encode(character));
    else result.push(byte);
  }
  return Uint8Array.from(result);
}
