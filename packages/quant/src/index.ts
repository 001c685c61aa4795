export { clipRatios, fitGroupBySearch, type ClipSearch } from './clip-search.ts';
export {
  CalibrationError,
  DiskFullError,
  OutputError,
  RecipeError,
  TuneError,
  UnquantizableWeightError,
} from './errors.ts';
export {
  decode,
  encode,
  fitGroup,
  groupCount,
  groupLength,
  schemes,
  validateGrid,
  type Grid,
  type GroupParameters,
  type ScaleType,
  type Scheme,
} from './grid.ts';
export {
  dequantizeMatrix,
  matrixError,
  quantizeMatrix,
  type FitOptions,
  type MatrixError,
  type QuantizedMatrix,
} from './quantized-matrix.ts';
export { packedBytes, packedDescription, storageFormat } from './pack.ts';
export { collectStatistics, StatisticsCollector, type InputStatistics } from './calibration/statistics.ts';
export {
  drawSequences,
  type Document,
  type DocumentSource,
  type Encode,
  type SequenceOptions,
} from './calibration/sequences.ts';
export { quantizeByGram } from './methods/gram-clip.ts';
export { hqq, type HqqOptions } from './methods/hqq.ts';
export {
  scaledStatistics,
  searchScale,
  type ScaleCandidate,
  type ScaledLayer,
  type ScaleSearchOptions,
} from './methods/awq.ts';
export { columnOrders, type ColumnOrder } from './methods/column-order.ts';
export { gptq, SharedFactor, type Factor, type GptqOptions, type GptqResult } from './methods/gptq.ts';
export { outputError, rowOutputErrors } from './methods/output-error.ts';
export { quantize, type QuantizeOptions } from './quantize.ts';
export type { Progress } from './run.ts';
export type { CalibrationOptions } from './calibration/options.ts';
export type { CalibratedOptions, GptqPipelineOptions } from './methods/calibrated.ts';
export type { AwqOptions } from './methods/awq-block.ts';
export { findTargets, type Target } from './targets.ts';
export {
  planLayers,
  type LayerOverride,
  type LayerPlan,
  type LayerRecipe,
  methodNames,
  methodSteps,
  roundingMethods,
  type MethodSteps,
  type MethodName,
  type Recipe,
  type RoundingMethod,
} from './recipe.ts';
export type { LayerReport, QuantizationReport } from './report.ts';
export {
  autoQuantize,
  type AutoQuantizeOptions,
  type TrialWorkers,
  type TuneResult,
} from './autotune/auto-quantize.ts';
export {
  measureActivations,
  type InputMeasurement,
  type MeasureActivationsOptions,
  type WeightTimes,
} from './autotune/activations.ts';
export type { Candidate, CandidateSpace } from './autotune/candidates.ts';
export {
  judge,
  relativeLoss,
  type Evaluate,
  type Evaluation,
  type EvaluationRequest,
  type EvaluationTarget,
  type Verdict,
} from './autotune/evaluation.ts';
export { allocate, type LayerOption } from './autotune/allocation.ts';
export { tuneHtml } from './autotune/report/html.ts';
export { tuneJson } from './autotune/report/json.ts';
export { tuneMarkdown } from './autotune/report/markdown.ts';
export type { TuneReport } from './autotune/report/tune-report.ts';
export { runTrial, type Filter, type TrialRequest, type TrialTools } from './autotune/run-trial.ts';
export type { Trial } from './autotune/trial.ts';
export {
  signRound,
  signRoundEfforts,
  type SignRoundEffort,
  type SignRoundOptions,
  type SignRoundResult,
  type TrainedLinear,
} from './methods/signround.ts';
export { trainScales, type TeqOptions, type TeqResult } from './methods/teq.ts';
export { BlockLoss, type BlockBatch } from './methods/block-loss.ts';
