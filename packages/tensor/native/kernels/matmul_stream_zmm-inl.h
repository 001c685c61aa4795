// A few rows of x with a dense matrix, in one pass over its rows: squares of 16 rows x 64 bytes are transposed in
// registers and multiplied at once, instead of going through a panel of fp32. The chains over k are those of the panel,
// so that the bits are too.
#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels/inline.h"
#include "kernels/matmul_kernels.h"

namespace llm {
namespace {

// What one 32-bit lane of a row holds: an fp32 number, or two of 16 bits.
template <WeightFormat F>
struct StreamLane {
  static constexpr int kBytes = F == WeightFormat::kF32 ? 4 : 2;
  static constexpr int kValues = 4 / kBytes;
  static constexpr int kColumns = 16 * kValues;  // of a square
};

// The first `columns` numbers of a line, zeros behind them.
template <WeightFormat F>
LLM_INLINE __m512i LoadPart(const uint8_t* line, int columns) {
  if constexpr (F == WeightFormat::kF32)
    return _mm512_maskz_loadu_epi32(static_cast<__mmask16>((1u << columns) - 1), line);
  return _mm512_maskz_loadu_epi16(static_cast<__mmask32>((uint64_t{1} << columns) - 1), line);
}

// Four rows; lane group l of out[j] has dword 4 l + j of each.
LLM_INLINE void TransposeFour(__m512i a, __m512i b, __m512i c, __m512i d, __m512i* out) {
  const __m512i p = _mm512_unpacklo_epi32(a, b), q = _mm512_unpackhi_epi32(a, b);
  const __m512i s = _mm512_unpacklo_epi32(c, d), t = _mm512_unpackhi_epi32(c, d);
  out[0] = _mm512_unpacklo_epi64(p, s), out[1] = _mm512_unpackhi_epi64(p, s);
  out[2] = _mm512_unpacklo_epi64(q, t), out[3] = _mm512_unpackhi_epi64(q, t);
}

// Dword i of 16 rows, from what HalfTransposed left.
LLM_INLINE __m512i Column(const __m512i (&u)[16], int i) {
  const int j = i / 4 % 2 * 4 + i % 4;
  return i < 8 ? _mm512_shuffle_i32x4(u[j], u[8 + j], 0x88) : _mm512_shuffle_i32x4(u[j], u[8 + j], 0xDD);
}

template <WeightFormat F, bool whole>
LLM_INLINE void HalfTransposed(const uint8_t* at, int64_t stride, int columns, __m512i (&u)[16]) {
#pragma GCC unroll 4
  for (int g = 0; g < 4; ++g) {
    __m512i row[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const uint8_t* const line = at + (4 * g + i) * stride;
      row[i] = whole ? _mm512_loadu_si512(line) : LoadPart<F>(line, columns);
    }
    TransposeFour(row[0], row[1], row[2], row[3], u + 4 * g);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m512i a = _mm512_shuffle_i32x4(u[j], u[4 + j], 0x88), b = _mm512_shuffle_i32x4(u[j], u[4 + j], 0xDD);
    const __m512i c = _mm512_shuffle_i32x4(u[8 + j], u[12 + j], 0x88);
    const __m512i d = _mm512_shuffle_i32x4(u[8 + j], u[12 + j], 0xDD);
    u[j] = a, u[4 + j] = b, u[8 + j] = c, u[12 + j] = d;
  }
}

// sum += the products of a lane's numbers, for R rows of x, of which `x` has [number][R].
template <WeightFormat F, int R>
struct FloatSums {
  using X = float;
  LLM_INLINE static void Add(__m512i lane, const float* x, int values, __m512 (&sum)[R]) {
    __m512 w[2];
    if constexpr (F == WeightFormat::kF32) {
      w[0] = _mm512_castsi512_ps(lane);
    } else if constexpr (F == WeightFormat::kBf16) {
      w[0] = _mm512_castsi512_ps(_mm512_slli_epi32(lane, 16));
      w[1] = _mm512_castsi512_ps(_mm512_and_si512(lane, _mm512_set1_epi32(static_cast<int>(0xFFFF0000))));
    } else {
      const __m512i even_then_odd = _mm512_set_epi16(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1, 30, 28,
                                                     26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
      const __m512i halves = _mm512_permutexvar_epi16(even_then_odd, lane);
      w[0] = _mm512_cvtph_ps(_mm512_castsi512_si256(halves));
      w[1] = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1));
    }
#pragma GCC unroll 2
    for (int i = 0; i < StreamLane<F>::kValues; ++i) {
      if (i >= values) break;
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) sum[r] = _mm512_fmadd_ps(w[i], _mm512_set1_ps(x[i * R + r]), sum[r]);
    }
  }
};

#if defined(__AVX512BF16__)
// Pairs at once, as the bf16 panels have them.
template <WeightFormat F, int R>
struct PairSums {
  using X = uint16_t;
  LLM_INLINE static void Add(__m512i lane, const uint16_t* x, int, __m512 (&sum)[R]) {
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      int32_t pair;
      std::memcpy(&pair, x + 2 * r, sizeof pair);
      sum[r] = _mm512_dpbf16_ps(sum[r], (__m512bh)lane, (__m512bh)_mm512_set1_epi32(pair));
    }
  }
};
#endif

// 32 rows from `row` on. x: [k][R], pairs of bf16: [pair][R][2].
template <template <WeightFormat, int> class Sums, WeightFormat F, int R>
void Stream(const void* row, int columns, const void* prepared, float* out, int64_t ldo) {
  using Lane = StreamLane<F>;
  using X = typename Sums<F, R>::X;
  constexpr int kLanes = 16;
  // Measured: 512 to 1024 bytes gain a fifth over none; into L2, because rows a power of two apart share a set of L1.
  constexpr int kAhead = 512;
  const auto* const first = static_cast<const uint8_t*>(row);
  const int64_t pitch = int64_t{columns} * Lane::kBytes;
  const auto* x = static_cast<const X*>(prepared);
  __m512 sum[2][R];
#pragma GCC unroll 8
  for (int i = 0; i < 2 * R; ++i) sum[i / R][i % R] = _mm512_setzero_ps();
  int k = 0;
#pragma GCC unroll 1
  for (; k + Lane::kColumns <= columns; k += Lane::kColumns, x += Lane::kColumns * R) {
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      const uint8_t* const at = first + v * kLanes * pitch + int64_t{k} * Lane::kBytes;
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i)
        _mm_prefetch(reinterpret_cast<const char*>(at + i * pitch + kAhead), _MM_HINT_T1);
      __m512i u[16];
      HalfTransposed<F, true>(at, pitch, Lane::kColumns, u);
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) Sums<F, R>::Add(Column(u, i), x + i * Lane::kValues * R, Lane::kValues, sum[v]);
    }
  }
  if (k < columns)
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      __m512i u[16];
      HalfTransposed<F, false>(first + v * kLanes * pitch + int64_t{k} * Lane::kBytes, pitch, columns - k, u);
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        const int left = columns - k - i * Lane::kValues;
        if (left > 0) Sums<F, R>::Add(Column(u, i), x + i * Lane::kValues * R, left, sum[v]);
      }
    }
#pragma GCC unroll 8
  for (int i = 0; i < 2 * R; ++i) _mm512_storeu_ps(out + i % R * ldo + i / R * kLanes, sum[i / R][i % R]);
}

#define LLM_STREAMS(Sums, F)                                                                             \
  {Stream<Sums, WeightFormat::F, 1>, Stream<Sums, WeightFormat::F, 2>, Stream<Sums, WeightFormat::F, 3>, \
   Stream<Sums, WeightFormat::F, 4>}

#define LLM_FLOAT_STREAMS {LLM_STREAMS(FloatSums, kF32), LLM_STREAMS(FloatSums, kF16), LLM_STREAMS(FloatSums, kBf16)}

}  // namespace
}  // namespace llm
