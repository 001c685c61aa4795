// Half-precision products over a policy: f16_avx512-inl.h has the instructions, f16_emulated-inl.h the same roundings
// in plain code. A vector holds the 32 columns of a block; 12 rows are 12 chains. A policy has
//   Halves, Floats              32 and 16 numbers
//   Zero(), Load(p), Broadcast(p), Fma(a, b, c)     of halves, rounded once
//   Widen<half>(v)              its first or last 16 numbers, exactly
//   LoadFloats(p), ZeroFloats(), Add(a, b), Store(p, v)
//   Round16(from, to)           16 floats to halves, to nearest even
#include <cstdint>

#include "kernels/f16_kernels.h"
#include "kernels/inline.h"
#include "kernels/matmul_kernels.h"

namespace llm {
namespace {

template <class P>
void PackHalves(const float* x, int64_t ldx, int rows, int columns, uint16_t* to) {
  for (int r = 0; r < rows; ++r)
    for (int k = 0; k < columns; k += 16) {
      const int count = columns - k < 16 ? columns - k : 16;
      float line[16] = {};
      for (int i = 0; i < count; ++i) line[i] = x[r * ldx + k + i];
      uint16_t rounded[16];
      P::Round16(line, rounded);
      for (int i = 0; i < count; ++i) to[(k + i) * rows + r] = rounded[i];
    }
}

template <class P>
void RoundPanelHalves(const float* panel, int columns, uint16_t* to) {
  for (int i = 0; i < columns * kBlockRows; i += 16) P::Round16(panel + i, to + i);
}

template <class P, int R>
void HalfTile(const uint16_t* x, const uint16_t* panel, int columns, bool first, float* out, int64_t ldo) {
  for (int begin = 0; begin < columns; begin += kHalfRun) {
    const int run = columns - begin < kHalfRun ? columns - begin : kHalfRun;
    typename P::Halves sum[R];
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) sum[r] = P::Zero();
#pragma GCC unroll 1
    for (int k = 0; k < run; ++k, x += R, panel += kBlockRows) {
      const typename P::Halves w = P::Load(panel);
#pragma GCC unroll 12
      for (int r = 0; r < R; ++r) sum[r] = P::Fma(w, P::Broadcast(x + r), sum[r]);
    }
    const bool fresh = first && begin == 0;
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      float* const to = out + r * ldo;
      P::Store(to, P::Add(fresh ? P::ZeroFloats() : P::LoadFloats(to), P::template Widen<0>(sum[r])));
      P::Store(to + 16, P::Add(fresh ? P::ZeroFloats() : P::LoadFloats(to + 16), P::template Widen<1>(sum[r])));
    }
  }
}

template <class P, int R>
LLM_INLINE void HalfTileOf(int rows, const uint16_t* x, const uint16_t* panel, int columns, bool first, float* out,
                           int64_t ldo) {
  if constexpr (R > 0) {
    if (rows == R) return HalfTile<P, R>(x, panel, columns, first, out, ldo);
    HalfTileOf<P, R - 1>(rows, x, panel, columns, first, out, ldo);
  }
}

template <class P>
void MultiplyHalves(const uint16_t* x, int rows, const uint16_t* panel, int columns, bool first, float* out,
                    int64_t ldo) {
  HalfTileOf<P, kFloatChunkRows>(rows, x, panel, columns, first, out, ldo);
}

template <class P>
constexpr F16Kernels kHalfFunctions = {PackHalves<P>, RoundPanelHalves<P>, MultiplyHalves<P>};

}  // namespace
}  // namespace llm
