import type { StreamingDecoder } from './tokenizer.ts';

/** What an id contributes to a text: bytes, or undefined where it contributes nothing. */
export type TokenBytes = (id: number) => Uint8Array | undefined;

/** Decodes tokens that are bytes one by one. Bytes wait until they make whole characters; impossible ones become U+FFFD. */
export class ByteStreamingDecoder implements StreamingDecoder {
  readonly #tokenBytes: TokenBytes;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #spacesToStrip: number;
  /** Whether the decoder may hold bytes of a character that is not whole. */
  #open = false;

  constructor(tokenBytes: TokenBytes, stripSpaces: number) {
    this.#tokenBytes = tokenBytes;
    this.#spacesToStrip = stripSpaces;
  }

  push(id: number): string {
    const bytes = this.#tokenBytes(id);
    if (bytes === undefined || bytes.length === 0) return '';
    // Most tokens are ASCII, for which a decoder takes longer than all the rest.
    if (!this.#open && bytes.every(isAscii)) return this.#strip(String.fromCharCode(...bytes));
    this.#open = !isAscii(bytes.at(-1) ?? 0);
    return this.#strip(this.#decoder.decode(bytes, { stream: true }));
  }

  flush(): string {
    return this.#strip(this.#decoder.decode());
  }

  #strip(text: string): string {
    let start = 0;
    while (this.#spacesToStrip > 0 && start < text.length) {
      if (text[start] === ' ') {
        start++;
        this.#spacesToStrip--;
      } else this.#spacesToStrip = 0;
    }
    return text.slice(start);
  }
}

/** Such a byte is a character, and ends whatever came before it. */
function isAscii(byte: number): boolean {
  return byte < 0x80;
}

/** Decodes the whole text again with every token, for decoders where tokens change their neighbours. */
export class WholeStreamingDecoder implements StreamingDecoder {
  readonly #decode: (ids: readonly number[]) => string;
  readonly #ids: number[] = [];
  #given = 0;

  constructor(decode: (ids: readonly number[]) => string) {
    this.#decode = decode;
  }

  push(id: number): string {
    this.#ids.push(id);
    const text = this.#decode(this.#ids);
    // A replacement character at the end may still become a character.
    return text.endsWith('\ufffd') ? '' : this.#advance(text);
  }

  flush(): string {
    return this.#ids.length === 0 ? '' : this.#advance(this.#decode(this.#ids));
  }

  #advance(text: string): string {
    const added = text.slice(this.#given);
    this.#given = Math.max(this.#given, text.length);
    return added;
  }
}
