// Rounding to odd: the last bit says whether anything was cut off, so that rounding the result again, to fewer bits, is
// as good as rounding once. Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums", 2008.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/inline.h"

namespace llm {

// From a number that was rounded to nearest, and is farther from 0 than the exact one if `too_large`.
template <class Number, class Bits>
LLM_INLINE Number ToOdd(Number nearest, bool inexact, bool too_large) {
  if (!inexact) return nearest;
  Bits bits;
  std::memcpy(&bits, &nearest, sizeof bits);
  bits = (too_large ? bits - 1 : bits) | 1;
  std::memcpy(&nearest, &bits, sizeof bits);
  return nearest;
}

// a + b; infinite and NaN as in double arithmetic.
LLM_INLINE double SumToOdd(double a, double b) {
  const double sum = a + b;
  if (!(sum - sum == 0)) return sum;
  // What the sum lost (Knuth's two-sum).
  const double back = sum - a, lost = (a - (sum - back)) + (b - back);
  return ToOdd<double, uint64_t>(sum, lost != 0, lost < 0 ? sum > 0 : sum < 0);
}

}  // namespace llm
