// The compiler flags of each instruction set that has files of its own, targets/<isa>_<family>.cc. binding.gyp asks for
// them through sources.mjs; the native tests and the cross builds read them here.
const avx2 = ['-mavx2', '-mfma', '-mf16c', '-mbmi2'];
// GCC 12 takes its own AVX-512 header for uninitialized.
const avx512f = [
  ...[...avx2, '-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mavx512cd'],
  ...['-mprefer-vector-width=512', '-Wno-maybe-uninitialized', '-Wno-uninitialized'],
];

export const instructionSets = {
  x64: {
    avx2,
    avx_vnni: [...avx2, '-mavxvnni'],
    avx512f,
    avx512_vnni: [...avx512f, '-mavx512vnni'],
    avx512_bf16: [...avx512f, '-mavx512vnni', '-mavx512bf16'],
    avx512_fp16: [...avx512f, '-mavx512fp16'],
    amx: [...avx512f, '-mavx512vnni', '-mamx-tile', '-mamx-int8', '-mamx-bf16'],
  },
  arm64: {
    neon: [],
    neon_dotprod: ['-march=armv8.2-a+dotprod'],
    neon_i8mm: ['-march=armv8.2-a+dotprod+i8mm'],
  },
  wasm: {
    wasm_simd128: ['-msimd128'],
    wasm_relaxed: ['-msimd128', '-mrelaxed-simd'],
  },
};
