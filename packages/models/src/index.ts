export type { Architecture, ForwardPass, GgufFile, GgufMapping, HfConfig } from './architecture.ts';
export { architectureOf, architectureOfGguf, architectures } from './architectures/registry.ts';
export type { ChatMessage, ChatTemplate, RenderOptions } from './chat-template.ts';
export type { Checkpoint, CheckpointFormat, PrepareOptions, TensorInfo, WeightConversion } from './checkpoint.ts';
export {
  ChatTemplateError,
  ChecksumMismatchError,
  CorruptFileError,
  DownloadError,
  InvalidConfigError,
  InvalidWeightError,
  MissingWeightError,
  ModelNotFoundError,
  PickleError,
  TokenizerError,
  UnsupportedArchitectureError,
  UnsupportedFormatError,
  WriteError,
} from './errors.ts';
export { convert, type ConversionOptions, type ConversionTarget } from './convert/convert.ts';
export type { FolderTarget } from './convert/to-folder.ts';
export type { ConversionReport, ConvertedWeight } from './convert/report.ts';
export { PACKED_METADATA } from './formats/packed/weights.ts';
export { writeAtomically, type AtomicFile } from './formats/atomic-file.ts';
export {
  writeSafetensors,
  type SafetensorsEntry,
  type TensorBytes,
  type WriteSafetensorsOptions,
} from './formats/safetensors/write.ts';
export type { GenerationConfig } from './generation-config.ts';
export { cachedSnapshot, pull, type PullOptions } from './hub/pull.ts';
export { elementBytes, encodeFloats, type ElementType } from './number-formats.ts';
export { weightCacheDefaults, type WeightCacheOptions } from './weight-cache.ts';
export { openCheckpoint, type OpenOptions } from './open-checkpoint.ts';
export type { DecodeOptions, EncodeOptions, StreamingDecoder, Tokenizer } from './tokenizer/tokenizer.ts';
