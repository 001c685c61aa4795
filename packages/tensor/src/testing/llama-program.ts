import type { Matrix } from '../matrix.ts';
import type { CacheDescription, Instruction, ProgramDescription } from '../program-description.ts';

export interface LlamaShape {
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly inner: number;
  readonly vocabularySize: number;
  readonly layers: number;
}

export interface LlamaOptions {
  readonly shape: LlamaShape;
  readonly maxTokens: number;
  readonly blocks: number;
  readonly cache: CacheDescription['type'];
  readonly compute: 'int8' | 'f32';
  readonly weight: (rows: number, columns: number, kind: 'linear' | 'head' | 'embedding') => Matrix;
  readonly norm: (width: number) => Float32Array;
  readonly keyBias?: (width: number) => Float32Array;
}

/** A Llama's program, fused by hand. */
export function llamaProgram(options: LlamaOptions): ProgramDescription {
  const { shape, maxTokens, blocks, cache, compute, weight } = options;
  const { width, heads, kvHeads, headDim, inner, vocabularySize, layers } = shape;
  const norm = () => ({ kind: 'rms', weight: options.norm(width), epsilon: 1e-5 }) as const;
  const blockTokens = 64;
  const positions = blocks * blockTokens;
  const rope = new Float32Array(positions * headDim);
  for (let position = 0; position < positions; position++)
    for (let pair = 0; pair < headDim / 2; pair++) {
      const angle = position * 10000 ** ((-2 * pair) / headDim);
      rope.set([Math.cos(angle), Math.sin(angle)], position * headDim + 2 * pair);
    }

  const qkv = (heads + 2 * kvHeads) * headDim;
  const logitsWidth = Math.ceil(vocabularySize / 16) * 16;
  // x, then qkv and the attention's result, or the gate, or the outputs.
  const buffers = [
    { name: 'x', width, offset: 0, rows: 'tokens' },
    { name: 'qkv', width: qkv, offset: width, rows: 'tokens' },
    { name: 'attended', width: heads * headDim, offset: width + qkv, rows: 'tokens' },
    { name: 'gate', width: inner, offset: width, rows: 'tokens' },
    { name: 'last', width, offset: width, rows: 'outputs' },
    { name: 'logits', width: logitsWidth, offset: 2 * width, rows: 'outputs' },
  ] as const;
  const [x, qkvBuffer, attended, gate, last, logits] = [0, 1, 2, 3, 4, 5];
  const [k, v] = [heads * headDim, (heads + kvHeads) * headDim];

  const layer = (index: number): Instruction[] => [
    {
      op: 'linear',
      in: x,
      norm: norm(),
      compute: { type: compute },
      parts: [
        {
          name: `layers.${String(index)}.q`,
          weight: weight(k, width, 'linear'),
          out: { buffer: qkvBuffer, column: 0 },
        },
        {
          name: `layers.${String(index)}.k`,
          weight: weight(kvHeads * headDim, width, 'linear'),
          ...(options.keyBias ? { bias: options.keyBias(kvHeads * headDim) } : {}),
          out: { buffer: qkvBuffer, column: k },
        },
        {
          name: `layers.${String(index)}.v`,
          weight: weight(kvHeads * headDim, width, 'linear'),
          out: { buffer: qkvBuffer, column: v },
        },
      ],
      epilogue: { kind: 'none' },
    },
    {
      op: 'attention',
      layer: index,
      heads,
      kvHeads,
      q: { buffer: qkvBuffer, column: 0, headStride: headDim },
      k: { buffer: qkvBuffer, column: k, headStride: headDim },
      v: { buffer: qkvBuffer, column: v, headStride: headDim },
      out: { buffer: attended, column: 0, headStride: headDim },
      scale: 1 / Math.sqrt(headDim),
      rope: { table: 0, style: 'half' },
    },
    {
      op: 'linear',
      in: attended,
      compute: { type: compute },
      parts: [{ name: `layers.${String(index)}.o`, weight: weight(width, k, 'linear'), out: { buffer: x, column: 0 } }],
      epilogue: { kind: 'add', residuals: [x] },
    },
    {
      op: 'linear',
      in: x,
      norm: norm(),
      compute: { type: compute },
      parts: [
        {
          name: `layers.${String(index)}.gate`,
          weight: weight(inner, width, 'linear'),
          out: { buffer: gate, column: 0 },
        },
        {
          name: `layers.${String(index)}.up`,
          weight: weight(inner, width, 'linear'),
          out: { buffer: gate, column: 0 },
        },
      ],
      epilogue: { kind: 'gated', activation: 'silu' },
    },
    {
      op: 'linear',
      in: gate,
      compute: { type: compute },
      parts: [
        { name: `layers.${String(index)}.down`, weight: weight(width, inner, 'linear'), out: { buffer: x, column: 0 } },
      ],
      epilogue: { kind: 'add', residuals: [x] },
    },
  ];

  return {
    maxTokens,
    vocabularySize,
    buffers,
    rowFloats: 2 * width + Math.max(qkv + heads * headDim, inner, logitsWidth),
    cache: { layers, kvHeads, keyDim: headDim, valueDim: headDim, type: cache, blockTokens, blocks },
    ropeTables: [{ rotaryDim: headDim, values: rope }],
    instructions: [
      { op: 'embed', table: weight(vocabularySize, width, 'embedding'), out: x },
      ...Array.from({ length: layers }, (_, index) => layer(index)).flat(),
      { op: 'outputs', in: x, out: last },
      {
        op: 'linear',
        in: last,
        norm: norm(),
        compute: { type: compute },
        parts: [{ name: 'head', weight: weight(vocabularySize, width, 'head'), out: { buffer: logits, column: 0 } }],
        epilogue: { kind: 'none' },
      },
    ],
    logits,
    hidden: last,
  };
}
