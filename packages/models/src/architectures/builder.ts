import {
  Graph,
  width,
  type Activation,
  type AttentionAttributes,
  type Node,
  type NormAttributes,
  type OperatorAttributes,
  type RopeAttributes,
} from '@llm/tensor';

/** The name of a block's weight from its name inside the block: `w('mlp.up_proj')`. */
export type Path = (name: string) => string;

/** Behind the name of a linear: the vector that its input is multiplied by. */
export const INPUT_SCALE = '.input_scale';

/** What an architecture is written with: one method per operator, weights made by name on first use. */
export class Builder {
  readonly graph: Graph = new Graph();
  readonly #inputScales: Set<string>;

  /** @param inputScales - names of linears whose input is multiplied by a vector of weights first */
  constructor(inputScales: Iterable<string> = []) {
    this.#inputScales = new Set(inputScales);
  }

  /** Linears whose input should be scaled and that no call of {@link linear} has made yet. */
  get pendingInputScales(): readonly string[] {
    return [...this.#inputScales];
  }

  tokens(): Node {
    return this.graph.add('tokens', [], {});
  }

  weight(name: string, shape: readonly number[]): Node {
    return this.graph.weight(name, shape);
  }

  /** Everything made inside belongs to the decoder block `layer`, whose weights start with `prefix.layer.`. */
  block(prefix: string, layer: number, build: (w: Path) => Node): Node {
    return this.graph.block(layer, () => build((name) => `${prefix}.${layer}.${name}`));
  }

  /** The residual stream through `count` blocks. */
  blocks(prefix: string, count: number, x: Node, build: (x: Node, w: Path, layer: number) => Node): Node {
    let stream = x;
    for (let layer = 0; layer < count; layer++) {
      const before = stream;
      stream = this.block(prefix, layer, (w) => build(before, w, layer));
    }
    return stream;
  }

  embed(tokens: Node, name: string, rows: number, columns: number, attributes: OperatorAttributes['embed'] = {}): Node {
    return this.graph.add('embed', [tokens, this.weight(`${name}.weight`, [rows, columns])], attributes);
  }

  positionEmbed(tokens: Node, name: string, rows: number, columns: number, offset = 0): Node {
    return this.graph.add('positionEmbed', [tokens, this.weight(`${name}.weight`, [rows, columns])], { offset });
  }

  /** @param options.weight the weight's name where it is not `name.weight`: a tied head */
  linear(
    x: Node,
    name: string,
    out: number,
    options: { readonly bias?: boolean; readonly weight?: string } = {},
  ): Node {
    const { bias = false, weight = `${name}.weight` } = options;
    const read = this.#inputScales.delete(name)
      ? this.mul(x, this.weight(`${name}${INPUT_SCALE}`, [width(x.shape)]))
      : x;
    const inputs = [read, this.weight(weight, [out, width(x.shape)])];
    if (bias) inputs.push(this.weight(`${name}.bias`, [out]));
    return this.graph.add('linear', inputs, { name });
  }

  rmsNorm(x: Node, name: string, attributes: OperatorAttributes['rmsNorm']): Node {
    const length = attributes.perHead ?? width(x.shape);
    return this.graph.add('rmsNorm', [x, this.weight(`${name}.weight`, [length])], attributes);
  }

  layerNorm(x: Node, name: string, attributes: NormAttributes & { readonly bias?: boolean }): Node {
    const { bias = true, ...rest } = attributes;
    const length = attributes.perHead ?? width(x.shape);
    const inputs = [x, this.weight(`${name}.weight`, [length])];
    if (bias) inputs.push(this.weight(`${name}.bias`, [length]));
    return this.graph.add('layerNorm', inputs, rest);
  }

  /** @param channels made once for all layers: it is not copied */
  take(x: Node, channels: Int32Array): Node {
    return this.graph.add('take', [x], { channels });
  }

  rope(x: Node, attributes: RopeAttributes): Node {
    return this.graph.add('rope', [x], attributes);
  }

  attention(q: Node, k: Node, v: Node, attributes: AttentionAttributes): Node {
    return this.graph.add('attention', [q, k, v], attributes);
  }

  add(a: Node, b: Node): Node {
    return this.graph.add('add', [a, b], {});
  }

  /** @param b - of the same shape, or a vector of weights */
  mul(a: Node, b: Node): Node {
    return this.graph.add('mul', [a, b], {});
  }

  activation(kind: Activation, x: Node): Node {
    return this.graph.add(kind, [x], {});
  }

  scale(x: Node, factor: number): Node {
    return this.graph.add('scale', [x], { factor });
  }

  softcap(x: Node, cap: number): Node {
    return this.graph.add('softcap', [x], { cap });
  }

  clamp(x: Node, min: number, max: number): Node {
    return this.graph.add('clamp', [x], { min, max });
  }

  lastTokens(x: Node): Node {
    return this.graph.add('lastTokens', [x], {});
  }
}
