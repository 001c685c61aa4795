import { LlmError } from '../errors.ts';

/** A JSON Schema, of the part of draft 2020-12 that {@link jsonSchemaGrammar} knows. */
export type JsonSchema = boolean | { readonly [keyword: string]: unknown };

/** A schema says something that a grammar cannot, or makes no sense. */
export class UnsupportedSchemaError extends LlmError {
  /** Where in the schema, as a JSON pointer. */
  readonly pointer: string;

  constructor(pointer: string, reason: string) {
    super('UNSUPPORTED_SCHEMA', `The schema at ${pointer || 'its root'} cannot be followed: ${reason}.`);
    this.pointer = pointer;
  }
}

/**
 * A grammar (GBNF, for {@link Grammar}) of the JSON texts that a schema allows.
 *
 * Known are: type, enum, const, properties, required, additionalProperties, items, prefixItems, minItems, maxItems,
 * minLength, maxLength, anyOf, oneOf (taken as anyOf) and $ref within the schema. Nothing follows the text, so that it is
 * complete where it ends. Properties come in the order of the
 * schema; those it does not name only if additionalProperties says so. Annotations are passed over, all other keywords are
 * refused, because output would not keep to them.
 * @throws {@link UnsupportedSchemaError} naming the place
 */
export function jsonSchemaGrammar(schema: JsonSchema): string {
  return new SchemaCompiler(schema).compile();
}

const basics = {
  ws: '| " " | "\\n" [ \\t]{0,20}',
  char: '[^"\\\\\\x00-\\x1F] | "\\\\" (["\\\\/bfnrt] | "u" ([0-9a-cA-CefEF] hex{3} | [dD] [0-7] hex{2}))',
  hex: '[0-9a-fA-F]',
  string: '"\\"" char* "\\""',
  integer: '"-"? ("0" | [1-9] [0-9]{0,15})',
  number: 'integer ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?',
  boolean: '"true" | "false"',
  null: '"null"',
  array: '"[" ws (value ws ("," ws value ws)*)? "]"',
  object: '"{" ws (pair ws ("," ws pair ws)*)? "}"',
  pair: 'string ws ":" ws value',
  value: 'string | number | boolean | null | array | object',
} as const;

const types = ['string', 'integer', 'number', 'boolean', 'null', 'array', 'object'] as const;
type TypeName = (typeof types)[number];

const keywordsOf: Record<TypeName, readonly string[]> = {
  string: ['minLength', 'maxLength'],
  integer: [],
  number: [],
  boolean: [],
  null: [],
  array: ['items', 'prefixItems', 'minItems', 'maxItems'],
  object: ['properties', 'required', 'additionalProperties'],
};
const general = ['type', 'enum', 'const', 'anyOf', 'oneOf', '$ref', '$defs', 'definitions'];
const annotations = [
  ...[
    '$schema',
    '$id',
    '$comment',
    'title',
    'description',
    'default',
    'examples',
    'deprecated',
    'readOnly',
    'writeOnly',
  ],
];
const known = new Set([...general, ...annotations, ...Object.values(keywordsOf).flat()]);

class SchemaCompiler {
  readonly #root: JsonSchema;
  readonly #rules: string[] = [];
  readonly #references = new Map<string, string>();
  #names = 0;

  constructor(root: JsonSchema) {
    this.#root = root;
  }

  compile(): string {
    const top = this.#expression(this.#root, '');
    return [
      `root ::= ws ${top}`,
      ...this.#rules,
      ...Object.entries(basics).map(([name, body]) => `${name} ::= ${body}`),
    ].join('\n');
  }

  #rule(body: string): string {
    const name = `r${String(this.#names++)}`;
    this.#rules.push(`${name} ::= ${body}`);
    return name;
  }

  /** Something that can stand in a sequence: a rule's name, a literal or a group. */
  #expression(schema: unknown, pointer: string): string {
    if (schema === true) return 'value';
    if (schema === false) throw new UnsupportedSchemaError(pointer, 'nothing satisfies false');
    if (!isObject(schema)) throw new UnsupportedSchemaError(pointer, 'it is neither an object nor true');
    const unknown = Object.keys(schema).find((keyword) => !known.has(keyword));
    if (unknown !== undefined)
      throw new UnsupportedSchemaError(`${pointer}/${unknown}`, 'the keyword is not supported');

    const reference = schema['$ref'];
    if (reference !== undefined) return this.#reference(reference, pointer);
    if ('const' in schema) return this.#constants([schema['const']], pointer);
    const choices = schema['enum'];
    if (choices !== undefined) return this.#constants(choices, `${pointer}/enum`);
    for (const keyword of ['anyOf', 'oneOf']) {
      const options = schema[keyword];
      if (options === undefined) continue;
      const place = `${pointer}/${keyword}`;
      return group(list(options, place).map((option, i) => this.#expression(option, `${place}/${String(i)}`)));
    }
    const wanted = this.#types(schema, pointer);
    return group(wanted.map((type) => this.#typed(type, schema, pointer)));
  }

  #types(schema: Readonly<Record<string, unknown>>, pointer: string): readonly string[] {
    const type = schema['type'];
    if (type !== undefined) return typeof type === 'string' ? [type] : list(type, `${pointer}/type`).map(String);
    // As it is written, keywords of one type do not exclude the others; as it is meant, they do.
    const implied = types.filter((name) => keywordsOf[name].some((keyword) => keyword in schema));
    return implied.length > 0 ? implied : ['value'];
  }

  #typed(type: string, schema: Readonly<Record<string, unknown>>, pointer: string): string {
    switch (type) {
      case 'string':
        return this.#string(schema, pointer);
      case 'array':
        return this.#array(schema, pointer);
      case 'object':
        return this.#object(schema, pointer);
      case 'integer':
      case 'number':
      case 'boolean':
      case 'null':
      case 'value':
        return type;
      default:
        throw new UnsupportedSchemaError(`${pointer}/type`, `there is no type ${type}`);
    }
  }

  #reference(reference: unknown, pointer: string): string {
    const place = `${pointer}/$ref`;
    if (typeof reference !== 'string' || !reference.startsWith('#'))
      throw new UnsupportedSchemaError(place, 'only references within the schema are followed');
    const known = this.#references.get(reference);
    if (known !== undefined) return known;
    let target: unknown = this.#root;
    for (const part of reference.slice(1).split('/').slice(1)) {
      const key = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
      target = isObject(target) && Object.hasOwn(target, key) ? target[key] : undefined;
    }
    if (target === undefined) throw new UnsupportedSchemaError(place, `there is no ${reference}`);
    const name = `ref${String(this.#references.size)}`;
    this.#references.set(reference, name); // before its body, which may refer to itself
    this.#rules.push(`${name} ::= ${this.#expression(target, reference.slice(1))}`);
    return name;
  }

  #constants(values: unknown, pointer: string): string {
    return group(list(values, pointer).map((value) => literal(JSON.stringify(value))));
  }

  #string(schema: Readonly<Record<string, unknown>>, pointer: string): string {
    const range = bounds(schema, 'minLength', 'maxLength', pointer);
    return range === '*' ? 'string' : this.#rule(`"\\"" char${range} "\\""`);
  }

  #array(schema: Readonly<Record<string, unknown>>, pointer: string): string {
    const prefix = schema['prefixItems'] === undefined ? [] : list(schema['prefixItems'], `${pointer}/prefixItems`);
    const fixed = prefix.map((item, i) => this.#expression(item, `${pointer}/prefixItems/${String(i)}`));
    const [least, most] = limits(schema, 'minItems', 'maxItems', pointer);
    const open = schema['items'] !== false;
    if (fixed.length === 0 && !open) return '"[" ws "]"';
    const rest = open ? this.#expression(schema['items'] ?? true, `${pointer}/items`) : undefined;
    const total = open ? most : Math.min(most, fixed.length);
    if (least > total) throw new UnsupportedSchemaError(pointer, 'there can be no array of so many items');

    // From the end: what may follow once so many items are written.
    const separator = '"," ws';
    const tail = Math.max(fixed.length, 1);
    let following = '';
    if (rest !== undefined && total > tail) {
      const from = Math.max(0, least - tail);
      const range = total === Infinity ? `{${String(from)},}` : `{${String(from)},${String(total - tail)}}`;
      following = `(${separator} ${rest} ws)${range}`;
    }
    for (let i = Math.min(tail, total); i >= 1; i--) {
      const item = fixed[i - 1] ?? rest ?? 'value';
      const written = `${i > 1 ? separator : ''} ${item} ws ${following}`;
      following = i > least ? `(${written})?` : written;
    }
    return this.#rule(`"[" ws ${following} "]"`);
  }

  #object(schema: Readonly<Record<string, unknown>>, pointer: string): string {
    const properties = schema['properties'] ?? {};
    if (!isObject(properties)) throw new UnsupportedSchemaError(`${pointer}/properties`, 'it is not an object');
    const names = Object.keys(properties);
    const required =
      schema['required'] === undefined
        ? []
        : list(schema['required'], `${pointer}/required`, 0).map((name) => JSON.stringify(name));
    const missing = required.find((name) => !names.some((other) => JSON.stringify(other) === name));
    if (missing !== undefined) throw new UnsupportedSchemaError(`${pointer}/required`, `properties has no ${missing}`);
    const additional = schema['additionalProperties'] ?? ('properties' in schema ? false : true);
    if (names.length === 0 && additional === true) return 'object';

    let extra: string | undefined;
    if (additional !== false) {
      const value = this.#expression(additional, `${pointer}/additionalProperties`);
      extra = this.#rule(`${this.#otherName(names)} ws ":" ws ${value} ws`);
    }
    // What may follow where nothing is written yet, and where something is, from the last property to the first.
    let [first, next] = extra === undefined ? ['""', '""'] : [`(${extra} ("," ws ${extra})*)?`, `("," ws ${extra})*`];
    for (const name of names.reverse()) {
      const value = this.#expression(properties[name], `${pointer}/properties/${escapePointer(name)}`);
      const pair = this.#rule(`${literal(JSON.stringify(name))} ws ":" ws ${value} ws`);
      const rest = this.#rule(next);
      if (required.includes(JSON.stringify(name))) {
        [first, next] = [`${pair} ${rest}`, `"," ws ${pair} ${rest}`];
      } else {
        [first, next] = [`${pair} ${rest} | ${this.#rule(first)}`, `"," ws ${pair} ${rest} | ${rest}`];
      }
    }
    return this.#rule(`"{" ws ${this.#rule(first)} "}"`);
  }

  /** A string that is none of the names; escapes come only after it differs from all of them. */
  #otherName(names: readonly string[]): string {
    if (names.length === 0) return 'string';
    const differ = (endings: readonly string[]): string => {
      const letters = new Map<string, string[]>();
      for (const ending of endings) {
        const [letter] = ending;
        if (letter !== undefined) letters.set(letter, [...(letters.get(letter) ?? []), ending.slice(letter.length)]);
      }
      const taken = [...letters.keys()].map(escapeClass).join('');
      const branches = [`[^"\\\\\\x00-\\x1F${taken}] char* "\\""`];
      if (!endings.includes('')) branches.push('"\\""');
      for (const [letter, rest] of letters) {
        // A letter that JSON must escape cannot be written plainly: no other name begins so.
        if (JSON.stringify(letter) === `"${letter}"`) branches.push(`${literal(letter)} ${differ(rest)}`);
      }
      return this.#rule(branches.join(' | '));
    };
    return `"\\"" ${differ(names)}`;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function list(value: unknown, pointer: string, least = 1): readonly unknown[] {
  if (Array.isArray(value) && value.length >= least) return value as readonly unknown[];
  throw new UnsupportedSchemaError(pointer, 'it is not a list with anything in it');
}

function limits(
  schema: Readonly<Record<string, unknown>>,
  low: string,
  high: string,
  pointer: string,
): readonly [number, number] {
  const read = (keyword: string, otherwise: number) => {
    const value = schema[keyword] ?? otherwise;
    if (value === Infinity || (typeof value === 'number' && Number.isInteger(value) && value >= 0)) return value;
    throw new UnsupportedSchemaError(`${pointer}/${keyword}`, 'it is not a whole number from 0');
  };
  return [read(low, 0), read(high, Infinity)];
}

function bounds(schema: Readonly<Record<string, unknown>>, low: string, high: string, pointer: string): string {
  const [least, most] = limits(schema, low, high, pointer);
  if (least > most) throw new UnsupportedSchemaError(pointer, `${low} is above ${high}`);
  if (most === Infinity) return least === 0 ? '*' : `{${String(least)},}`;
  return `{${String(least)},${String(most)}}`;
}

function group(choices: readonly string[]): string {
  return choices.length === 1 ? (choices[0] ?? '') : `(${choices.join(' | ')})`;
}

function literal(text: string): string {
  return `"${text.replaceAll(/["\\]/g, '\\$&').replaceAll('\n', '\\n').replaceAll('\r', '\\r')}"`;
}

function escapeClass(letter: string): string {
  const code = (letter.codePointAt(0) ?? 0).toString(16);
  return `\\U${code.padStart(8, '0')}`;
}

function escapePointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}
