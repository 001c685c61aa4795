/**
 * Watches a growing text for strings that end it, also where one lies across several pieces. Text that may turn out to be the
 * beginning of a stop string is held back until it is decided.
 */
export class StopStrings {
  readonly #stops: readonly string[];
  #held = '';
  #found: string | undefined;

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== '');
  }

  /** The stop string that came. */
  get found(): string | undefined {
    return this.#found;
  }

  /** Takes the next piece and returns the text that is certain to come before any stop string. */
  push(piece: string): string {
    if (this.#found !== undefined) return '';
    if (this.#stops.length === 0) return piece;
    const text = this.#held + piece;
    let first = text.length;
    for (const stop of this.#stops) {
      const at = text.indexOf(stop);
      // At the same place the longer one has been written out whole, so that it names better what happened.
      if (at === -1 || at > first || (at === first && stop.length <= (this.#found?.length ?? 0))) continue;
      first = at;
      this.#found = stop;
    }
    const certain = this.#found === undefined ? text.length - this.#longestBeginning(text) : first;
    this.#held = this.#found === undefined ? text.slice(certain) : '';
    return text.slice(0, certain);
  }

  /** The text held back, once no more will come. */
  flush(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }

  /** Length of the longest end of the text with which some stop string begins. */
  #longestBeginning(text: string): number {
    const longest = Math.max(...this.#stops.map((stop) => stop.length)) - 1;
    for (let length = Math.min(longest, text.length); length > 0; length--) {
      const end = text.slice(text.length - length);
      if (this.#stops.some((stop) => stop.startsWith(end))) return length;
    }
    return 0;
  }
}
