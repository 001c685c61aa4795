/** native/addon/operators_binding.cc. All take whole batches of tokens, work on the pool and write into the last arrays. */
export interface OperatorCalls {
  mapValues(isa: string, name: string, x: Float32Array, y: Float32Array | undefined, out: Float32Array): Promise<void>;
  normalizeRows(
    isa: string,
    centred: boolean,
    epsilon: number,
    x: Float32Array,
    weight: Float32Array,
    bias: Float32Array | undefined,
    out: Float32Array,
  ): Promise<void>;
  normalizeRowsBackward(
    isa: string,
    centred: boolean,
    epsilon: number,
    x: Float32Array,
    weight: Float32Array,
    dy: Float32Array,
    dx: Float32Array,
  ): Promise<void>;
  rotateRows(
    isa: string,
    rows: number,
    columns: number,
    headDim: number,
    rotaryDim: number,
    interleaved: boolean,
    cosSin: Float32Array,
    x: Float32Array,
    out: Float32Array,
  ): Promise<void>;
  addBias(isa: string, bias: Float32Array, x: Float32Array): Promise<void>;
  signStep(gradient: Float32Array, rate: number, low: number, high: number, values: Float32Array): Promise<void>;
  /** Adds to sums of |x| and x² per column. */
  addMoments(x: Float32Array, absolute: Float64Array, squares: Float64Array): Promise<void>;
  rowProducts(x: Float32Array, y: Float32Array, products: Float64Array): Promise<void>;
  roundColumns(
    rows: number,
    columns: number,
    begin: number,
    end: number,
    stop: number,
    block: number,
    group: number,
    maxCode: number,
    live: Float32Array,
    inverse: Float32Array,
    correction: Float32Array | undefined,
    permutation: Int32Array,
    scales: Float32Array,
    zeroPoints: Uint8Array | undefined,
    minima: Float32Array | undefined,
    codes: Uint8Array,
    errors: Float32Array,
    values: Float32Array | undefined,
    squares: Float64Array,
  ): Promise<void>;
  causalAttention(...inputs: [...CausalAttentionInputs, out: Float32Array]): Promise<void>;
  causalAttentionBackward(
    ...inputs: [...CausalAttentionInputs, dout: Float32Array, dq: Float32Array, dk: Float32Array, dv: Float32Array]
  ): Promise<void>;
}

export type CausalAttentionInputs = [
  isa: string,
  lengths: Int32Array,
  heads: number,
  kvHeads: number,
  headDim: number,
  scale: number,
  /** 0: everything before a token is seen. */
  window: number,
  q: Float32Array,
  k: Float32Array,
  v: Float32Array,
];
