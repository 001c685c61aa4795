export { cpuInfo, type CpuInfo } from './cpu.ts';
export type { BackendKind, KernelTable } from './backend/backend.ts';
export {
  BackendLoadError,
  InvalidOptionError,
  LlmError,
  ShapeMismatchError,
  type BackendAttempt,
  type ErrorCode,
} from './errors.ts';
export type { DenseFormat, Matrix, PackedFormat } from './matrix.ts';
export type { Storage } from './storage.ts';
