import { CorruptFileError, PickleError } from '../../errors.ts';

/** What a pickle may build here: plain values, and the few objects that tensors are made of. */
export type PickleValue =
  | string
  | number
  | boolean
  | null
  | undefined
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | PickleGlobal
  | PickleCall
  | PickleReference;

/** A name that the pickle looks up. */
export interface PickleGlobal {
  readonly global: string;
}

/** One of the allowed functions with its arguments; it is not run. */
export interface PickleCall {
  readonly call: string;
  readonly arguments: readonly PickleValue[];
}

/** Something outside the pickle: in PyTorch's files, a storage. */
export interface PickleReference {
  readonly reference: PickleValue;
}

/** Most values on the stack or in the memo; a checkpoint has some twenty for each of its tensors. */
const MAX_VALUES = 2_000_000;

/**
 * Reads a pickle (protocols 2 to 5) without running anything. Only the opcodes that state dictionaries consist of are known, and
 * only names on the list may be looked up: anything else is refused by name. Throws `PickleError`, `CorruptFileError`.
 */
export function readPickle(path: string, bytes: Uint8Array, allowed: ReadonlySet<string>): PickleValue {
  return new PickleReader(path, bytes, allowed).read();
}

/** Marks the start of a list of arguments on the stack. */
const MARK = Symbol('mark');

class PickleReader {
  readonly #path: string;
  readonly #bytes: Buffer;
  readonly #allowed: ReadonlySet<string>;
  readonly #stack: (PickleValue | typeof MARK)[] = [];
  readonly #memo = new Map<number, PickleValue>();
  #at = 0;

  constructor(path: string, bytes: Uint8Array, allowed: ReadonlySet<string>) {
    this.#path = path;
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#allowed = allowed;
  }

  read(): PickleValue {
    for (;;) {
      const at = this.#at;
      const opcode = this.#u8();
      if (opcode === 0x2e) return this.#pop();
      this.#step(opcode, at);
      if (this.#stack.length > MAX_VALUES || this.#memo.size > MAX_VALUES) throw this.#corrupt('too many values');
    }
  }

  #step(opcode: number, at: number): void {
    switch (String.fromCharCode(opcode)) {
      case '\x80': // PROTO
        this.#u8();
        return;
      case '\x95': // FRAME
        this.#take(8);
        return;
      case '(':
        this.#stack.push(MARK);
        return;
      case '0': // POP
        this.#stack.pop();
        return;
      case 'N': {
        this.#push(null);
        return;
      }
      case '\x88': {
        this.#push(true);
        return;
      }
      case '\x89': {
        this.#push(false);
        return;
      }
      case 'J': {
        // BININT
        this.#push(this.#bytes.readInt32LE(this.#take(4)));
        return;
      }
      case 'K': {
        // BININT1
        this.#push(this.#u8());
        return;
      }
      case 'M': {
        // BININT2
        this.#push(this.#bytes.readUInt16LE(this.#take(2)));
        return;
      }
      case '\x8a': {
        // LONG1
        this.#push(this.#long(this.#u8()));
        return;
      }
      case 'G': {
        // BINFLOAT
        this.#push(this.#bytes.readDoubleBE(this.#take(8)));
        return;
      }
      case 'X': {
        // BINUNICODE
        this.#push(this.#text(this.#u32()));
        return;
      }
      case '\x8c': {
        // SHORT_BINUNICODE
        this.#push(this.#text(this.#u8()));
        return;
      }
      case '}': {
        this.#push(new Map());
        return;
      }
      case ']':
      case ')': {
        // EMPTY_TUPLE; tuples and lists are both arrays here
        this.#push([]);
        return;
      }
      case 't': {
        // TUPLE
        this.#push(this.#popMark());
        return;
      }
      case '\x85': {
        this.#push([this.#pop()]);
        return;
      }
      case '\x86': {
        this.#push([this.#pop(), this.#pop()].reverse());
        return;
      }
      case '\x87': {
        this.#push([this.#pop(), this.#pop(), this.#pop()].reverse());
        return;
      }
      case 'a': {
        // APPEND
        this.#append([this.#pop()]);
        return;
      }
      case 'e': {
        // APPENDS
        this.#append(this.#popMark());
        return;
      }
      case 's': {
        // SETITEM
        this.#setItems([this.#pop(), this.#pop()].reverse());
        return;
      }
      case 'u': {
        // SETITEMS
        this.#setItems(this.#popMark());
        return;
      }
      case 'q': {
        // BINPUT
        this.#remember(this.#u8());
        return;
      }
      case 'r': {
        // LONG_BINPUT
        this.#remember(this.#u32());
        return;
      }
      case '\x94': {
        // MEMOIZE
        this.#remember(this.#memo.size);
        return;
      }
      case 'h': {
        // BINGET
        this.#recall(this.#u8());
        return;
      }
      case 'j': {
        // LONG_BINGET
        this.#recall(this.#u32());
        return;
      }
      case 'c': {
        // GLOBAL
        this.#lookUp(this.#line(), this.#line());
        return;
      }
      case '\x93': {
        // STACK_GLOBAL
        const name = this.#pop();
        const module = this.#pop();
        if (typeof name !== 'string' || typeof module !== 'string') throw this.#corrupt('a name that is no text');
        this.#lookUp(module, name);
        return;
      }
      case 'Q': {
        // BINPERSID
        this.#push({ reference: this.#pop() });
        return;
      }
      case 'R': {
        this.#reduce();
        return;
      }
      case 'b': // BUILD: the state of an OrderedDict, such as its _metadata, is of no use here.
        this.#pop();
        return;
      default:
        throw new PickleError(this.#path, `opcode 0x${opcode.toString(16)} at byte ${at}`);
    }
  }

  #lookUp(module: string, name: string): void {
    const global = `${module}.${name}`;
    if (!this.#allowed.has(global)) throw new PickleError(this.#path, global);
    this.#push({ global });
  }

  #reduce(): void {
    const args = this.#pop();
    const callee = this.#pop();
    if (!Array.isArray(args) || typeof callee !== 'object' || callee === null || !('global' in callee)) {
      throw this.#corrupt('a call of something that is no function');
    }
    if (callee.global === 'collections.OrderedDict') this.#push(new Map());
    else this.#push({ call: callee.global, arguments: args });
  }

  #append(items: PickleValue[]): void {
    const list = this.#stack.at(-1);
    if (!Array.isArray(list)) throw this.#corrupt('an item for something that is no list');
    for (const item of items) list.push(item);
  }

  #setItems(items: PickleValue[]): void {
    const map = this.#stack.at(-1);
    if (!(map instanceof Map) || items.length % 2 !== 0)
      throw this.#corrupt('an item for something that is no dictionary');
    for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1]);
  }

  #remember(key: number): void {
    const value = this.#stack.at(-1);
    if (value === MARK || this.#stack.length === 0) throw this.#corrupt('nothing to remember');
    this.#memo.set(key, value);
  }

  #recall(key: number): void {
    if (!this.#memo.has(key)) throw this.#corrupt(`value ${key} was never stored`);
    this.#push(this.#memo.get(key));
  }

  #push(value: PickleValue): void {
    this.#stack.push(value);
  }

  #pop(): PickleValue {
    const value = this.#stack.pop();
    if (value === MARK || (value === undefined && this.#stack.length === 0)) throw this.#corrupt('the stack is empty');
    return value;
  }

  #popMark(): PickleValue[] {
    const mark = this.#stack.lastIndexOf(MARK);
    if (mark < 0) throw this.#corrupt('a list without a start');
    return this.#stack.splice(mark).slice(1) as PickleValue[];
  }

  /** A little-endian integer in two's complement. */
  #long(length: number): number {
    const start = this.#take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[start + i] as number);
    return Number(BigInt.asIntN(8 * length, value));
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0) throw this.#corrupt('a name without an end');
    const start = this.#take(end + 1 - this.#at);
    return this.#bytes.toString('utf8', start, end);
  }

  #text(length: number): string {
    const start = this.#take(length);
    return this.#bytes.toString('utf8', start, start + length);
  }

  #u8(): number {
    return this.#bytes.readUInt8(this.#take(1));
  }

  #u32(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }

  #take(length: number): number {
    const start = this.#at;
    if (start + length > this.#bytes.length) throw this.#corrupt('it ends in the middle of a value');
    this.#at = start + length;
    return start;
  }

  #corrupt(reason: string): CorruptFileError {
    return new CorruptFileError(this.#path, this.#at, `the pickle is damaged: ${reason}`);
  }
}
