// The grids that groups of weights are rounded to. Baseline files only.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace llm {

// range / steps in half precision, rounded once; never 0 for a range that is not, because a lost scale would lose the
// group. Beyond the largest half it is that.
inline float HalfScale(float range, int steps) {
  constexpr double kHalfMax = 65504;
  constexpr double kMagic = 0x1.8p52;
  constexpr int kDropped = 42;  // a double has 52 bits behind the point, a half 10
  if (range == 0) return 0;
  const double quotient = double{range} / steps;
  double scale = 0;
  if (std::fabs(quotient) < 0x1p-14) {  // subnormal: multiples of 2^-24
    scale = (quotient * 0x1p24 + kMagic - kMagic) * 0x1p-24;
    if (scale == 0) return std::copysign(0x1p-24f, static_cast<float>(quotient));
  } else {
    uint64_t bits;
    std::memcpy(&bits, &quotient, sizeof bits);
    bits += (uint64_t{1} << (kDropped - 1)) - 1 + (bits >> kDropped & 1);
    bits &= ~((uint64_t{1} << kDropped) - 1);
    std::memcpy(&scale, &bits, sizeof scale);
  }
  return static_cast<float>(std::clamp(scale, -kHalfMax, kHalfMax));
}

// To the nearest integer, ties to even, for |x| < 2^22.
inline float RoundToInteger(float x) {
  constexpr float kMagic = 12582912;  // 1.5 * 2^23
  return x + kMagic - kMagic;
}

// w = scale * c with low <= c <= high.
struct CodeRange {
  float scale, low, high;
};

// For weights from bottom <= 0 to top >= 0. Symmetric grids are full range: the larger end is -2^(bits - 1), with a
// scale of its opposite sign; of two equal ones the top.
inline CodeRange FitCodes(float bottom, float top, int bits, bool symmetric) {
  const int max_code = (1 << bits) - 1, half = 1 << (bits - 1);
  if (symmetric)
    return {HalfScale(-bottom > top ? bottom : top, -half), static_cast<float>(-half), static_cast<float>(half - 1)};
  const float scale = HalfScale(top - bottom, max_code);
  const float zero = scale == 0 ? 0 : std::clamp(-bottom / scale, 0.0f, static_cast<float>(max_code));
  const float zero_point = RoundToInteger(zero);
  return {scale, -zero_point, static_cast<float>(max_code) - zero_point};
}

}  // namespace llm
