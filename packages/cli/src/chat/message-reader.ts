/** Puts lines together to messages: one that ends in \ goes on in the next, and """ opens and closes a block. */
export class MessageReader {
  #lines: string[] = [];
  #inBlock = false;

  /** Whether a message has begun that this line does not end. */
  get unfinished(): boolean {
    return this.#inBlock || this.#lines.length > 0;
  }

  /** The message that this line completes, if it does. */
  push(line: string): string | undefined {
    const fences = line.split('"""').length - 1;
    if (fences % 2 === 1) this.#inBlock = !this.#inBlock;
    const goesOn = !this.#inBlock && line.endsWith('\\');
    this.#lines.push((goesOn ? line.slice(0, -1) : line).replaceAll('"""', ''));
    if (this.#inBlock || goesOn) return undefined;
    const message = this.#lines.join('\n').trim();
    this.#lines = [];
    return message;
  }

  /** Forgets what was begun. */
  clear(): void {
    this.#lines = [];
    this.#inBlock = false;
  }
}
