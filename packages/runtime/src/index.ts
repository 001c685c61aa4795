export { compile, type CompiledProgram, type CompileOptions } from './compile/compile.ts';
export type { WeightFormat, Weights } from './compile/weights.ts';
export { MemoryLimitError, NoChatTemplateError, ScoreError, UnsupportedGraphError } from './errors.ts';
