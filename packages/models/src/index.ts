export type { Architecture, ForwardPass, GgufFile, GgufMapping, HfConfig } from './architecture.ts';
export { architectureOf, architectureOfGguf, architectures } from './architectures/registry.ts';
export type { ChatMessage, ChatTemplate, RenderOptions } from './chat-template.ts';
export type { Checkpoint, CheckpointFormat, TensorInfo, WeightConversion } from './checkpoint.ts';
export {
  ChatTemplateError,
  ChecksumMismatchError,
  CorruptFileError,
  DownloadError,
  InvalidConfigError,
  InvalidWeightError,
  MissingWeightError,
  ModelNotFoundError,
  TokenizerError,
  UnsupportedArchitectureError,
  UnsupportedFormatError,
  WriteError,
} from './errors.ts';
export type { GenerationConfig } from './generation-config.ts';
export type { DecodeOptions, EncodeOptions, StreamingDecoder, Tokenizer } from './tokenizer/tokenizer.ts';
