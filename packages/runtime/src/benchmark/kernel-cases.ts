import {
  InvalidOptionError,
  type CacheType,
  type ComputeType,
  type CpuInfo,
  type MatrixDescription,
  type MatrixFormat,
} from '@llm/tensor';

/** What is measured: half precision has no probe yet. */
export type MeasuredCompute = Exclude<ComputeType, 'f16'>;

/** A weight and the numbers of rows that it is multiplied with. */
export interface MatmulCase {
  readonly isa: string;
  readonly shape: string;
  readonly weight: MatrixDescription;
  readonly compute: MeasuredCompute;
  readonly rows: readonly number[];
}

export interface AttentionCase {
  readonly isa: string;
  readonly shape: string;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly cacheType: CacheType;
  /** Tokens in the cache before the step. */
  readonly context: number;
  readonly queries: number;
}

/** Float32 calls of linear algebra on n x n matrices. */
export interface BlasCase {
  readonly call: 'sgemm' | 'syrk' | 'cholesky';
  readonly sizes: readonly number[];
}

export interface KernelCases {
  readonly matmul: readonly MatmulCase[];
  readonly attention: readonly AttentionCase[];
  readonly blas: readonly BlasCase[];
}

/** What to leave out; undefined keeps everything. */
export interface KernelFilter {
  /** Every case of every shape, instead of one shape for most formats and tables. */
  readonly full?: boolean;
  readonly isas?: readonly string[];
  readonly shapes?: readonly string[];
  readonly formats?: readonly string[];
  /** Numbers of rows, instead of 1, 4, 8, 16 and 512; attention takes 1 and 512. */
  readonly rows?: readonly number[];
}

/** Linear layers of published models. */
const layerShapes: Readonly<Record<string, { readonly rows: number; readonly columns: number }>> = {
  'llama-2-7b attention': { rows: 4096, columns: 4096 },
  'llama-2-7b up': { rows: 11008, columns: 4096 },
  'llama-2-7b down': { rows: 4096, columns: 11008 },
  'tinyllama attention': { rows: 2560, columns: 2048 },
  'tinyllama up': { rows: 5632, columns: 2048 },
  'tinyllama down': { rows: 2048, columns: 5632 },
  'tinyllama head': { rows: 32000, columns: 2048 },
  'smollm2-135m up': { rows: 1536, columns: 576 },
  'smollm2-135m down': { rows: 576, columns: 1536 },
};

/** Heads of published models, in as many layers as make a cache of 2048 tokens larger than that of the CPU. */
const attentionShapes = {
  'llama-2-7b cache': { layers: 4, heads: 32, kvHeads: 32, headDim: 128 },
  'llama-3-8b cache': { layers: 8, heads: 32, kvHeads: 8, headDim: 128 },
  'tinyllama cache': { layers: 22, heads: 32, kvHeads: 4, headDim: 64 },
};

const packedFormats = [
  ...(['int4-sym', 'int4-asym', 'int4-min', 'int4-two', 'int4-two-asym', 'int8'] as const),
  ...(['int3-sym', 'int3-asym', 'int2-sym', 'int2-asym'] as const),
];
const denseFormats = ['f32', 'f16', 'bf16'] as const;
const batches = [1, 4, 8, 16, 512];
const usualShape = 'llama-2-7b attention';

/** Which tables have kernels of their own for a way to compute; the others take theirs from a table below them. */
const ownKernels: Readonly<Record<MeasuredCompute, readonly string[]>> = {
  int8: ['amx', 'avx512_vnni', 'avx_vnni', 'avx512f', 'avx2', 'neon_i8mm', 'neon_dotprod', 'neon', 'scalar'],
  f32: ['avx512f', 'avx2', 'neon', 'scalar'],
  bf16: ['amx', 'avx512_bf16'],
};

/** @throws {@link InvalidOptionError} for a table that cannot run here, or a shape or format that does not exist */
export function checkFilter({ tables }: CpuInfo, { isas, shapes, formats }: KernelFilter): void {
  const known: [name: string, given: readonly string[] | undefined, allowed: readonly string[]][] = [
    ['isas', isas, tables.filter((table) => table.runnable).map((table) => table.isa)],
    ['shapes', shapes, [...Object.keys(layerShapes), ...Object.keys(attentionShapes)]],
    ['formats', formats, [...packedFormats, ...denseFormats]],
  ];
  for (const [name, given = [], allowed] of known)
    for (const value of given) if (!allowed.includes(value)) throw new InvalidOptionError(name, value, allowed);
}

/** Everything that runs here and is worth a measurement; the best table first. */
export function kernelCases({ tables }: CpuInfo, filter: KernelFilter = {}): KernelCases {
  const { full = false, isas, shapes, formats, rows = batches } = filter;
  const keeps = (allowed: readonly string[] | undefined, name: string): boolean => allowed?.includes(name) ?? true;
  const runnable = tables.filter((table) => table.runnable).map((table) => table.isa);
  const own = (compute: MeasuredCompute): string[] =>
    ownKernels[compute].filter((isa) => runnable.includes(isa) && keeps(isas, isa));
  // The scalar table is a reference: many rows would take minutes.
  const rowsOf = (isa: string): readonly number[] =>
    isa === 'scalar' && isas === undefined && !full ? rows.filter((count) => count <= 4) : rows;
  const chosenShapes = Object.keys(layerShapes).filter((shape) => keeps(shapes, shape));
  const firstShape = chosenShapes.includes(usualShape) ? usualShape : chosenShapes[0];

  const matmul: MatmulCase[] = [];
  for (const compute of ['int8', 'f32', 'bf16'] as const)
    for (const [place, isa] of own(compute).entries())
      for (const format of [...packedFormats, ...denseFormats] as readonly MatrixFormat[]) {
        const dense = !format.startsWith('int');
        if (!keeps(formats, format) || (dense && compute === 'int8')) continue;
        for (const shape of chosenShapes)
          for (const groupSize of dense ? [undefined] : [32, 128]) {
            // For one shape every format on the best table, and some formats on every table; for some formats every shape.
            const usual = shape === firstShape;
            const best = place === 0 && groupSize !== 128;
            const everywhere = compute === 'int8' ? format === 'int4-sym' : format === 'f32' || format === 'int4-sym';
            const isQuick = usual
              ? (best && (compute === 'int8' || dense)) || (everywhere && (compute === 'int8' || groupSize !== 128))
              : place === 0 &&
                (compute === 'int8' ? format === 'int4-sym' : format === (compute === 'f32' ? 'f32' : 'bf16'));
            if (!full && !isQuick) continue;
            const weight = { format, ...layerShapes[shape]!, ...(groupSize === undefined ? {} : { groupSize }) };
            matmul.push({ isa, shape, weight, compute, rows: rowsOf(isa) });
          }
      }

  const attention: AttentionCase[] = [];
  for (const [place, isa] of own('f32').entries())
    for (const [shape, sizes] of Object.entries(attentionShapes))
      for (const cacheType of ['f16', 'int8', 'f32', 'bf16'] as const)
        for (const context of [0, 2048, 8192])
          for (const queries of [1, 512]) {
            const isQuick =
              place === 0
                ? cacheType === 'f16' || (cacheType === 'int8' && shape !== 'llama-3-8b cache') || context === 2048
                : isa !== 'scalar' && cacheType === 'f16' && context === 2048;
            if (!(full || isQuick) || !keeps(shapes, shape) || !keeps(formats, cacheType)) continue;
            // Many queries compute and do not wait for memory: one layer shows it.
            const layers = queries > 1 ? 1 : sizes.layers;
            attention.push({ isa, shape, ...sizes, layers, cacheType, context, queries });
          }

  const sizes = full ? [256, 512, 1024, 2048] : [512, 1024, 2048];
  const blas =
    shapes || formats || isas ? [] : (['sgemm', 'syrk', 'cholesky'] as const).map((call) => ({ call, sizes }));
  return { matmul, attention, blas };
}
