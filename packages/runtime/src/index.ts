export { Model, type Beam, type BeamOptions, type LogitsOptions } from './model.ts';
export { Generation, type FinishReason, type GenerationPart, type Usage } from './generation.ts';
export { Session } from './session.ts';
export {
  loadDefaults,
  type LoadDefaults,
  type GenerateOptions,
  type KvCacheOptions,
  type LoadOptions,
  type OnProgress,
  type Progress,
} from './options.ts';
export type { Prompt } from './prompt.ts';
export type { Score } from './score.ts';
export type { EmbedOptions } from './embed.ts';
export type { MemoryEstimate } from './memory.ts';
export { EmptyContinuationError, MemoryLimitError, NoChatTemplateError, UnsupportedGraphError } from './errors.ts';
export { compile, planProgram, type CompileOptions, type ProgramPlan, type Results } from './compile/compile.ts';
export type { MemoryPlan } from './compile/plan-memory.ts';
export type { Stages } from './compile/schedule.ts';
export type { Operation, Lowering } from './compile/operation.ts';
export type { RowRange, WeightFormat, Weights } from './compile/weights.ts';
export {
  benchmarkProgram,
  benchmarkSynthetic,
  syntheticProgram,
  type Benchmark,
  type BenchmarkOptions,
  type SyntheticBenchmarkOptions,
} from './benchmark/benchmark.ts';
export {
  benchmarkKernels,
  type KernelBenchmark,
  type KernelBenchmarkOptions,
  type KernelMeasurement,
} from './benchmark/kernel-benchmark.ts';
export type { KernelFilter } from './benchmark/kernel-cases.ts';
export {
  articleShapes,
  decodeMilliseconds,
  measureTurn,
  syntheticBytes,
  type Turn,
  type TurnOptions,
} from './benchmark/turn.ts';
export {
  benchmarkArticle,
  type ArticleBenchmark,
  type ArticleBenchmarkOptions,
  type ArticleRow,
} from './benchmark/article.ts';
export { benchmarkModel } from './benchmark/benchmark-model.ts';
export { saveSynthetic, type SaveSyntheticOptions } from './benchmark/save-synthetic.ts';
export { shapes } from './benchmark/shapes.ts';
export { SyntheticWeights, type SyntheticOptions } from './benchmark/synthetic-weights.ts';
export type { Spread } from './benchmark/statistics.ts';
