// bf16 products by vdpbf16ps: 12 rows x 32 columns of sums in registers, the same tile as fp32 at twice its rate.
#include <immintrin.h>

#include <cstring>

#include "kernels/bf16_kernels.h"
#include "kernels/inline.h"
#include "kernels/matmul_kernels.h"

namespace llm {
namespace {

void PackBf16(const float* x, int64_t ldx, int rows, int columns, uint16_t* to) {
  for (int r = 0; r < rows; ++r)
    for (int k = 0; k < columns; k += 16) {
      const int left = columns - k;
      const auto mask = static_cast<__mmask16>(left < 16 ? (1u << left) - 1 : 0xFFFF);
      const __m256bh rounded = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, x + r * ldx + k));
      int32_t pairs[8];
      std::memcpy(pairs, &rounded, sizeof pairs);
      for (int i = 0; i < 8 && 2 * i < left; ++i) std::memcpy(to + ((k / 2 + i) * rows + r) * 2, &pairs[i], 4);
    }
}

void RoundPanel(const float* panel, int columns, uint16_t* to) {
  // Halves of the result are columns of k and of k + 1: one of each in every lane.
  const __m512i interleave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22,
                                              6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  for (int k = 0; k < columns; k += 2, panel += 2 * kBlockRows, to += 2 * kBlockRows)
    for (int v = 0; v < kBlockRows; v += 16) {
      const __m512 first = _mm512_loadu_ps(panel + v);
      const __m512 second = k + 1 < columns ? _mm512_loadu_ps(panel + kBlockRows + v) : _mm512_setzero_ps();
      const __m512bh both = _mm512_cvtne2ps_pbh(second, first);
      __m512i bits;
      std::memcpy(&bits, &both, sizeof bits);
      _mm512_storeu_si512(to + 2 * v, _mm512_permutexvar_epi16(interleave, bits));
    }
}

template <int R>
void Bf16Tile(const uint16_t* x, const uint16_t* panel, int pairs, bool first, float* out, int64_t ldo) {
  __m512 sum[R][2];
#pragma GCC unroll 32
  for (int i = 0; i < R * 2; ++i)
    sum[i / 2][i % 2] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(out + i / 2 * ldo + i % 2 * 16);
#pragma GCC unroll 1
  for (int p = 0; p < pairs; ++p, x += 2 * R, panel += 2 * kBlockRows) {
    const __m512bh w0 = (__m512bh)_mm512_loadu_si512(panel), w1 = (__m512bh)_mm512_loadu_si512(panel + kBlockRows);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      int32_t pair;
      std::memcpy(&pair, x + 2 * r, sizeof pair);
      const __m512bh value = (__m512bh)_mm512_set1_epi32(pair);
      sum[r][0] = _mm512_dpbf16_ps(sum[r][0], w0, value);
      sum[r][1] = _mm512_dpbf16_ps(sum[r][1], w1, value);
    }
  }
#pragma GCC unroll 32
  for (int i = 0; i < R * 2; ++i) _mm512_storeu_ps(out + i / 2 * ldo + i % 2 * 16, sum[i / 2][i % 2]);
}

template <int R>
LLM_INLINE void Bf16TileOf(int rows, const uint16_t* x, const uint16_t* panel, int pairs, bool first, float* out,
                           int64_t ldo) {
  if constexpr (R > 0) {
    if (rows == R) return Bf16Tile<R>(x, panel, pairs, first, out, ldo);
    Bf16TileOf<R - 1>(rows, x, panel, pairs, first, out, ldo);
  }
}

void MultiplyBf16(const uint16_t* x, int rows, const uint16_t* panel, int columns, bool first, float* out,
                  int64_t ldo) {
  Bf16TileOf<kFloatChunkRows>(rows, x, panel, (columns + 1) / 2, first, out, ldo);
}

}  // namespace
}  // namespace llm
