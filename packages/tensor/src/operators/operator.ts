import type { OperatorAttributes, OperatorName } from '../graph/attributes.ts';
import type { Node, NodeOf, Shape } from '../graph/node.ts';
import type { FloatArray, Tensor } from '../tensor.ts';

/** A matrix product, C [m, n] = A B, where A is stored [m, k] ([k, m] if transposed) and B [k, n] ([n, k]). */
export interface Product {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly a: FloatArray;
  readonly b: FloatArray;
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

/**
 * An operator with heavy arithmetic is a generator that yields the products it needs, so that one description runs at once on
 * the plain product and asynchronously on native ones.
 */
export type Computation<Result> = Generator<Product, Result, FloatArray>;

/** What the rows of a step's tensors are. */
export interface Step {
  /** Lengths of the sequences that lie one after another, each from its first token. Their sum is the number of rows. */
  readonly sequences: readonly number[];
  /** The rows that `lastTokens` keeps; all of them if left out. */
  readonly outputs?: readonly number[];
}

export interface GradientRequest<Op extends OperatorName> {
  readonly dy: Tensor;
  readonly inputs: readonly Tensor[];
  readonly attributes: OperatorAttributes[Op];
  readonly step: Step;
  /** Which inputs' gradients are wanted; the others may be left out. */
  readonly wanted: readonly boolean[];
}

/** One gradient per input, undefined where it was not wanted or does not exist. */
export type Gradients = readonly (Tensor | undefined)[];

/** The output channels of `node` that are to be divided: channel c by the factor that belongs to column `channels[c]`; -1 is none. */
export interface Absorption {
  readonly node: Node;
  readonly channels: Int32Array;
}

/** Makes two columns share one factor. */
export type Tie = (column: number, other: number) => void;

/** All there is to know of an operator. The native program has an instruction for each, tested against `evaluate`. */
export interface Operator<Op extends OperatorName> {
  /** Fewest and most inputs. */
  readonly arity: readonly [number, number];
  /** The output's shape. @throws {@link ShapeMismatchError} if the inputs do not fit */
  shape(inputs: readonly Shape[], attributes: OperatorAttributes[Op]): Shape;
  /** Its meaning. Absent for tokens and weights, whose values are given. */
  evaluate?(inputs: readonly Tensor[], attributes: OperatorAttributes[Op], step: Step): Tensor | Computation<Tensor>;
  /** The inputs' gradients from the output's (reverse mode). */
  gradient?(request: GradientRequest<Op>): Gradients | Computation<Gradients>;
  /**
   * How the output's channels can be divided by a positive factor each, exactly, by changing something upstream: 'here' if its own
   * weights take the factors up, otherwise the inputs of which any one will do. Absent or empty: not at all.
   */
  absorb?(node: NodeOf<Op>, channels: Int32Array, tie: Tie): readonly Absorption[] | 'here';
}
