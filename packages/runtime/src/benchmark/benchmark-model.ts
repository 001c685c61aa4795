import type { Model } from '../model.ts';
import { benchmarkProgram, type Benchmark, type BenchmarkOptions } from './benchmark.ts';

/**
 * {@link benchmarkProgram} on a loaded model.
 * @param threads - those that the model was loaded with, for the probes
 */
export function benchmarkModel(model: Model, threads: number, options: BenchmarkOptions = {}): Promise<Benchmark> {
  return benchmarkProgram(model.program, threads, options);
}
