#include <wasm_simd128.h>

#include <cstdint>

#include "cpu/features.h"

namespace llm {

// Volatile, so that it is the engine that computes: compilers know one of the allowed results.
bool RelaxedSimdIsExact() {
  // (1 + 2^-12)^2 - (1 + 2^-11) is 2^-24, and 0 if the square is rounded first.
  volatile float one_and_little = 1 + 0x1p-12f, minus_rounded = -(1 + 0x1p-11f);
  const v128_t factor = wasm_f32x4_splat(one_and_little);
  const v128_t rest = wasm_f32x4_relaxed_madd(factor, factor, wasm_f32x4_splat(minus_rounded));
  const bool fused = wasm_i32x4_all_true(wasm_f32x4_eq(rest, wasm_f32x4_const_splat(0x1p-24f)));

  // Sixteen different products, and the largest: V8 before 12 was wrong.
  volatile int8_t signs[16] = {-127, 127, -1, 2, 3, -4, 5, -6, 127, 127, 127, 127, -127, -127, -127, -127};
  volatile int8_t codes[16] = {1, 2, 3, 4, 5, 6, 7, 8, 15, 15, 15, 15, 15, 15, 15, 15};
  int8_t a[16], b[16];
  int16_t expected[8] = {};
  for (int i = 0; i < 16; ++i) {
    a[i] = signs[i], b[i] = codes[i];
    expected[i / 2] = static_cast<int16_t>(expected[i / 2] + a[i] * b[i]);
  }
  const v128_t dots = wasm_i16x8_relaxed_dot_i8x16_i7x16(wasm_v128_load(a), wasm_v128_load(b));
  return fused && wasm_i16x8_all_true(wasm_i16x8_eq(dots, wasm_v128_load(expected)));
}

}  // namespace llm
