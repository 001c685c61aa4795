export * from '../index.ts';
export { InvalidModelFilesError, KernelFetchError, NoFileSystemError } from './errors.ts';
export { loadKernels, type KernelOptions } from './kernels.ts';
export { mountFiles, type ModelFile, type MountedFiles } from './model-files.ts';
export { cpuInfo, LlmError, OutOfMemoryError, runningThreads, type CpuInfo } from '@llm/tensor';
