import { ShapeMismatchError } from '../errors.ts';
import { width, type Shape } from '../graph/node.ts';

export function describeShape(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}

export function sameShape(operator: string, a: Shape, b: Shape): Shape {
  if (a.length !== b.length || a.some((dimension, i) => dimension !== b[i])) {
    throw new ShapeMismatchError(
      `${operator} needs two inputs of one shape, not ${describeShape(a)} and ${describeShape(b)}.`,
    );
  }
  return a;
}

/** Checks a shape with one row per token. */
export function rowsOf(operator: string, x: Shape | undefined, columns?: number): Shape {
  if (x?.length !== 2 || typeof x[0] === 'number' || (columns !== undefined && width(x) !== columns)) {
    throw new ShapeMismatchError(`${operator} needs [T, ${columns ?? 'columns'}], not ${describeShape(x ?? [])}.`);
  }
  return x;
}

/** Checks a vector of weights. */
export function vectorOf(operator: string, weight: Shape | undefined, length: number): void {
  if (weight?.length !== 1 || weight[0] !== length) {
    throw new ShapeMismatchError(`${operator} needs a vector [${length}], not ${describeShape(weight ?? [])}.`);
  }
}

/** Checks a matrix of weights; returns its rows and columns. */
export function matrixOf(operator: string, weight: Shape | undefined, columns?: number): readonly [number, number] {
  const [rows, found] = weight ?? [];
  if (
    weight?.length !== 2 ||
    typeof rows !== 'number' ||
    typeof found !== 'number' ||
    (columns !== undefined && found !== columns)
  ) {
    throw new ShapeMismatchError(
      `${operator} needs a matrix [rows, ${columns ?? 'columns'}], not ${describeShape(weight ?? [])}.`,
    );
  }
  return [rows, found];
}
