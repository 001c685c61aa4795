export { cpuInfo, type CpuInfo } from './cpu.ts';
export type { BackendKind, KernelTable } from './backend/backend.ts';
export { bestWasmFile, type WebAssemblyFeatures } from './backend/wasm-features.ts';
export type { WasmFile } from './backend/wasm-file.ts';
export { measureThreads, runningThreads, savedThreads, setThreadCount, threadCount, threadPlan } from './threads.ts';
export type { MeasuredThreads } from './threads/measured-threads.ts';
export type { ThreadPlan } from './threads/thread-plan.ts';
export { probePeak, probeReadBandwidth, type PeakOptions, type ReadBandwidthOptions } from './probe.ts';
export type { StorageHandle } from './backend/storage-calls.ts';
export { Storage, type MapOptions } from './storage.ts';
export {
  BackendLoadError,
  DisposedError,
  FileAccessError,
  InvalidArgumentError,
  InvalidOptionError,
  LlmError,
  OutOfMemoryError,
  ShapeMismatchError,
  SingularMatrixError,
  UnknownOptionError,
  UnsupportedDTypeError,
  type BackendAttempt,
  type ErrorCode,
} from './errors.ts';
export { cholesky, invertSymmetric, invertTriangular, sgemm, syrk, triangularSolve } from './blas.ts';
export { fakeQuantize, fakeQuantizeBackward, roundingErrors } from './fake-quantize.ts';
export type {
  CholeskyOptions,
  FakeQuantization,
  FakeQuantizeArguments,
  RoundingErrorsArguments,
  FakeQuantizeBackwardArguments,
  FakeQuantizeGradients,
  Floats,
  GemmArguments,
  SyrkArguments,
  TriangleOptions,
  TriangularSolveArguments,
} from './blas-types.ts';
export { checkOptions, nearestName, unknownOptionError } from './options.ts';
export type { MatrixHandle } from './backend/matrix-calls.ts';
export {
  Matrix,
  packedByteLength,
  type DenseFormat,
  type MatrixDescription,
  type MatrixFormat,
  type PackedFormat,
} from './matrix.ts';
export { describeKernels, type DescribeKernelsOptions, type KernelChoice } from './kernels.ts';
export { MatmulTimer, type MatmulTimerOptions, type MatmulTiming } from './time-matmul.ts';
export { tuneKernels, type TuneKernelsOptions } from './tune-kernels.ts';
export { cacheFolder } from './backend/cache-folder.ts';
export { readThresholds, thresholdsPath, type KernelThresholds } from './backend/stored-thresholds.ts';
export { linearComputes, mostPrecise, type LinearCompute } from './linear-compute.ts';
export { matmul, type ComputeType, type MatmulOptions } from './matmul.ts';
export {
  dequantizeLinear,
  dequantizeLinearAsync,
  ggufMatrix,
  importGguf,
  importGgufAsync,
  importLinear,
  importLinearAsync,
  importTransposed,
  importTransposedAsync,
  type FieldOrder,
  type GgufBlockType,
  type ImportedMatrix,
  type ImportGgufOptions,
  type ScatteredGroups,
  type StoragePlace,
  type StoredCodes,
  type StoredLinear,
} from './import-matrix.ts';
export { packMatrix, packMatrixAsync, unpackMatrix, type PackedDescription, type PlainCodes } from './packing.ts';
export { roundMatrix, type RoundedFormat, type RoundOptions } from './rounding.ts';
export { columnCount, mapTensor, row, rowCount, tensor, zeros, type FloatArray, type Tensor } from './tensor.ts';
export { Graph } from './graph/graph.ts';
export type {
  AttentionAttributes,
  NoAttributes,
  NormAttributes,
  OperatorAttributes,
  OperatorName,
  RopeAttributes,
  RopeScaling,
} from './graph/attributes.ts';
export { width, type Dimension, type Node, type NodeOf, type Shape } from './graph/node.ts';
export {
  evaluate,
  evaluateNode,
  type EvaluateOptions,
  type Values,
  type Watch,
  type Weights,
} from './graph/evaluate.ts';
export {
  evaluateBlock,
  productWith,
  type BlockOptions,
  type BlockResult,
  type HeavyOptions,
  type Sgemm,
} from './graph/block.ts';
export { differentiate, differentiateBlock, type Wanted } from './graph/differentiate.ts';
export { linearWeight, linearsByInput, traceLinears, type LinearGroup } from './graph/linears.ts';
export { isActivation, isChannelScale } from './graph/patterns.ts';
export { equivalentScales, type EquivalentScale } from './graph/equivalent-scales.ts';
export { exchangeScales } from './graph/exchange-scales.ts';
export { computeWith } from './operators/product.ts';
export { roundColumns, type RoundColumnsArguments } from './round-columns.ts';
export { ArrayPool } from './operators/array-pool.ts';
export { releaseArrays } from './release-array.ts';
export { addMoments, NativeOperators, rowProducts, signStep } from './operators/native.ts';
export { operators } from './operators/table.ts';
export type {
  Absorption,
  Computation,
  GradientRequest,
  Gradients,
  Operator,
  Product,
  Step,
  Tie,
} from './operators/operator.ts';
export { ropeFrequencies, ropeTable } from './operators/rope-table.ts';
export type {
  Activation,
  AttentionInstruction,
  BufferDescription,
  CacheDescription,
  ComputeDescription,
  HeadSlice,
  Instruction,
  LinearInstruction,
  LinearPart,
  NormDescription,
  ProgramDescription,
  Slice,
} from './program-description.ts';
export { contextLength } from './program-description.ts';
export {
  Program,
  type ForwardOptions,
  type InstructionProfile,
  type ProgramOptions,
  type ProgramStats,
} from './program.ts';
export type { Sequence } from './sequence.ts';
export {
  samplingOptionNames,
  type GenerateOptions,
  type GenerationFinish,
  type GenerationHandle,
  type SamplingOptions,
  type TokenBatch,
} from './generation.ts';
export {
  ContextOverflowError,
  NonFiniteLogitsError,
  NothingAllowedError,
  OutOfBlocksError,
  ProgramDisposedError,
  SequenceBusyError,
  SequenceFileError,
} from './program-errors.ts';
export { timeAttention, type AttentionTiming, type AttentionTimingOptions } from './attention-timing.ts';
export { chromeTrace, type TraceSpan } from './trace.ts';
export { attention, type AttentionOptions, type CacheType } from './attention.ts';
export { sampleToken, type Sample, type SampleOptions } from './sampling.ts';
export {
  addScaled,
  clampVector,
  expSum,
  indicesAtLeast,
  layerNormRows,
  mapBinary,
  mapUnary,
  reduceVector,
  rmsNormRows,
  ropeHeads,
  scaleVector,
  softcapVector,
  type BinaryFunction,
  type UnaryFunction,
  type VectorOptions,
} from './vector.ts';
export { Grammar, GrammarText, InvalidGrammarError, type GrammarVocabulary } from './grammar/grammar.ts';
export { jsonSchemaGrammar, UnsupportedSchemaError, type JsonSchema } from './grammar/json-schema.ts';
export { beamSearch, type BeamSearchOptions, type Hypothesis } from './beam-search.ts';
