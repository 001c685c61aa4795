/** native/addon/probe_binding.cc. 0 threads: as many as the pool has. */
export interface ProbeCalls {
  probeReadBandwidth(isa: string, threads: number, bytes: number): Promise<number>;
  probePeak(isa: string, kind: 'int8' | 'f32' | 'bf16', threads: number): Promise<number>;
}
