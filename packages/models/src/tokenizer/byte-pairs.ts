import type { ComponentJson } from './tokenizer-json.ts';

/** Words up to this length are remembered with their tokens, up to so many. */
const MAX_REMEMBERED_LENGTH = 256;
const MAX_REMEMBERED_WORDS = 20_000;

/**
 * Merges byte pairs: always the pair that comes first in the list of merges, the leftmost of several. The same tokens as
 * Hugging Face's libraries give, in time n log n with integers only, so that a whole text may be one word (SentencePiece).
 */
export class BytePairs {
  readonly #ids: ReadonlyMap<string, number>;
  readonly #texts: readonly string[];
  /** From left id · vocabulary size + right id to the place in the list of merges. */
  readonly #ranks = new Map<number, number>();
  readonly #merged: number[] = [];
  readonly #words = new Map<string, readonly string[]>();

  constructor(vocabulary: ReadonlyMap<string, number>, merges: Iterable<readonly [string, string]>) {
    const texts: string[] = [];
    for (const [text, id] of vocabulary) texts[id] = text;
    this.#ids = vocabulary;
    this.#texts = texts;
    for (const [left, right] of merges) {
      const rank = this.#merged.length;
      const [from, to, made] = [left, right, left + right].map((text) => vocabulary.get(text));
      this.#merged.push(made ?? -1);
      if (from === undefined || to === undefined || made === undefined) continue;
      const key = from * texts.length + to;
      if (!this.#ranks.has(key)) this.#ranks.set(key, rank);
    }
  }

  /** The tokens of a word; characters that the vocabulary lacks are tokens of their own. */
  split(word: string): readonly string[] {
    const known = this.#words.get(word);
    if (known) return known;
    const tokens = this.#merge(Array.from(word));
    if (word.length <= MAX_REMEMBERED_LENGTH) {
      if (this.#words.size >= MAX_REMEMBERED_WORDS) this.#words.clear();
      this.#words.set(word, tokens);
    }
    return tokens;
  }

  #merge(characters: readonly string[]): readonly string[] {
    const count = characters.length;
    if (count < 2) return characters;
    const ids = Int32Array.from(characters, (character) => this.#ids.get(character) ?? -1);
    const next = Int32Array.from({ length: count }, (_, i) => i + 1);
    const previous = Int32Array.from({ length: count }, (_, i) => i - 1);
    const removed = new Uint8Array(count);
    const queue = new Queue(count);
    const rankAt = (at: number): number | undefined => {
      const right = next[at] as number;
      const [from, to] = [ids[at] as number, right < count ? (ids[right] as number) : -1];
      return from < 0 || to < 0 ? undefined : this.#ranks.get(from * this.#texts.length + to);
    };
    const offer = (at: number): void => {
      const rank = rankAt(at);
      // By rank, then by place.
      if (rank !== undefined) queue.push(rank * count + at);
    };
    for (let at = 0; at + 1 < count; at++) offer(at);
    for (let key = queue.pop(); key !== undefined; key = queue.pop()) {
      const at = key % count;
      // The pair may have changed since it was offered.
      if (removed[at] || rankAt(at) !== Math.floor(key / count)) continue;
      const right = next[at] as number;
      const after = next[right] as number;
      ids[at] = this.#merged[Math.floor(key / count)] as number;
      removed[right] = 1;
      next[at] = after;
      if (after < count) previous[after] = at;
      const before = previous[at] as number;
      if (before >= 0) offer(before);
      offer(at);
    }
    const tokens: string[] = [];
    for (let at = 0; at < count; at = next[at] as number) {
      const id = ids[at] as number;
      tokens.push(id < 0 ? (characters[at] as string) : (this.#texts[id] as string));
    }
    return tokens;
  }
}

/** A heap of numbers, the smallest first. */
class Queue {
  #keys: Float64Array;
  #size = 0;

  constructor(capacity: number) {
    this.#keys = new Float64Array(capacity);
  }

  push(key: number): void {
    if (this.#size === this.#keys.length) {
      const larger = new Float64Array(2 * this.#size);
      larger.set(this.#keys);
      this.#keys = larger;
    }
    const keys = this.#keys;
    let at = this.#size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if ((keys[parent] as number) <= key) break;
      keys[at] = keys[parent] as number;
      at = parent;
    }
    keys[at] = key;
  }

  pop(): number | undefined {
    if (this.#size === 0) return undefined;
    const keys = this.#keys;
    const first = keys[0] as number;
    const last = keys[--this.#size] as number;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.#size) break;
      if (child + 1 < this.#size && (keys[child + 1] as number) < (keys[child] as number)) child++;
      if ((keys[child] as number) >= last) break;
      keys[at] = keys[child] as number;
      at = child;
    }
    keys[at] = last;
    return first;
  }
}

/** Merges for a model of a tokenizer.json; undefined where words have marks at their ends or merging is random. */
export function bytePairsOf(model: ComponentJson, vocabulary: ReadonlyMap<string, number>): BytePairs | undefined {
  const marked = ['end_of_word_suffix', 'continuing_subword_prefix', 'dropout'].some((key) => Boolean(model[key]));
  const merges = model['merges'];
  if (model.type !== 'BPE' || marked || !Array.isArray(merges)) return undefined;
  const pairs = (merges as readonly (string | [string, string])[]).map((merge): [string, string] => {
    if (typeof merge !== 'string') return merge;
    const [left = '', right = ''] = merge.split(' ', 2);
    return [left, right];
  });
  return new BytePairs(vocabulary, pairs);
}
