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
