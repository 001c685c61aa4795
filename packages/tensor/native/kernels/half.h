// 16-bit floats without the CPU's help, for code that runs everywhere.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/inline.h"

namespace llm {

LLM_INLINE float FloatOfBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

LLM_INLINE uint32_t BitsOfFloat(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// Both sides are always computed, without a branch: so compilers make vectors of loops.
LLM_INLINE uint32_t Select(bool condition, uint32_t yes, uint32_t no) {
  const uint32_t mask = 0u - static_cast<uint32_t>(condition);
  return (yes & mask) | (no & ~mask);
}

// IEEE binary16, exact, subnormals, infinities and NaN included.
LLM_INLINE float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t magnitude = half & 0x7FFF;
  // As if the exponent were that of a float, then rescaled by 2^112: right for subnormals too.
  const uint32_t finite = BitsOfFloat(FloatOfBits(magnitude << 13) * 0x1p112f);
  return FloatOfBits(sign | Select(magnitude >= 0x7C00, (magnitude << 13) + 0x70000000u, finite));
}

// Round to nearest, ties to even; overflow gives infinity, NaN stays a NaN.
LLM_INLINE uint16_t FloatToHalf(float value) {
  const uint32_t bits = BitsOfFloat(value);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7FFFFFFF;
  // Subnormal: adding 0.5 leaves multiples of 2^-24 in the mantissa, rounded.
  const uint32_t small = BitsOfFloat(FloatOfBits(magnitude) + 0.5f) - BitsOfFloat(0.5f);
  const uint32_t normal = (magnitude - 0x38000000 + 0x0FFF + (magnitude >> 13 & 1)) >> 13;
  uint32_t half = Select(magnitude < 0x38800000, small, normal);
  half = Select(magnitude >= 0x477FF000, 0x7C00, half);  // 65520 and up
  half = Select(magnitude > 0x7F800000, 0x7E00, half);
  return static_cast<uint16_t>(sign | half);
}

LLM_INLINE float Bf16ToFloat(uint16_t value) { return FloatOfBits(static_cast<uint32_t>(value) << 16); }

// Round to nearest, ties to even; NaN stays a NaN.
LLM_INLINE uint16_t FloatToBf16(float value) {
  const uint32_t bits = BitsOfFloat(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

}  // namespace llm
