// A few rows of x with a dense matrix, in one pass over its rows: squares of 16 rows x 64 bytes are transposed in
// registers and multiplied at once, instead of going through a panel of fp32. The chains over k are those of the panel,
// so that the bits are too.
//
// Measured on Zen 4: hardware follows 16 rows at once at the speed of one stream and 32 at .8 of it. But 16 rows are
// one vector, and one chain of 16-bit weights takes as long as their bytes; there 32 rows go in step.
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

// The same where what follows wants the numbers of a lane apart: of 16-bit ones the even ones, then the odd ones.
LLM_INLINE __m512i ColumnHalves(const __m512i (&u)[16], int i) {
  const int j = i / 4 % 2 * 4 + i % 4;
  const __m512i first = _mm512_set_epi16(55, 53, 51, 49, 39, 37, 35, 33, 23, 21, 19, 17, 7, 5, 3, 1, 54, 52, 50, 48, 38,
                                         36, 34, 32, 22, 20, 18, 16, 6, 4, 2, 0);
  const __m512i eight = _mm512_set1_epi16(8);
  return _mm512_permutex2var_epi16(u[j], i < 8 ? first : _mm512_add_epi16(first, eight), u[8 + j]);
}

// What Sums want of column i.
template <WeightFormat F>
LLM_INLINE __m512i Operand(const __m512i (&u)[16], int i) {
  return F == WeightFormat::kF16 ? ColumnHalves(u, i) : Column(u, i);
}

// sum += the products of a lane's numbers, for R rows of x, of which `x` has [number][R].
template <WeightFormat F, int R>
struct FloatSums {
  using X = float;
  LLM_INLINE static void Add(const __m512i& lane, const float* x, int values, __m512 (&sum)[R]) {
    __m512 w[2];
    if constexpr (F == WeightFormat::kF32) {
      w[0] = _mm512_castsi512_ps(lane);
    } else if constexpr (F == WeightFormat::kBf16) {
      w[0] = _mm512_castsi512_ps(_mm512_slli_epi32(lane, 16));
      w[1] = _mm512_castsi512_ps(_mm512_and_si512(lane, _mm512_set1_epi32(static_cast<int>(0xFFFF0000))));
    } else {
      // From memory: taking a register apart costs more than going through the cache.
      const auto* const halves = reinterpret_cast<const __m256i*>(&lane);
      w[0] = _mm512_cvtph_ps(_mm256_load_si256(halves));
      w[1] = _mm512_cvtph_ps(_mm256_load_si256(halves + 1));
    }
#pragma GCC unroll 2
    for (int i = 0; i < StreamLane<F>::kValues; ++i) {
      if (i >= values) break;
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) sum[r] = _mm512_fmadd_ps(w[i], _mm512_set1_ps(x[i * R + r]), sum[r]);
    }
  }
};

#if defined(__AVX512BF16__)
// Pairs at once, as the bf16 panels have them.
template <WeightFormat F, int R>
struct PairSums {
  using X = uint16_t;
  LLM_INLINE static void Add(const __m512i& lane, const uint16_t* x, int, __m512 (&sum)[R]) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      int32_t pair;
      std::memcpy(&pair, x + 2 * r, sizeof pair);
      sum[r] = _mm512_dpbf16_ps(sum[r], (__m512bh)lane, (__m512bh)_mm512_set1_epi32(pair));
    }
  }
};
#endif

// The columns from k on that do not fill a square, of 16 rows at `at`.
template <template <WeightFormat, int> class Sums, WeightFormat F, int R>
LLM_INLINE void AddRest(const uint8_t* at, int64_t pitch, int columns, const typename Sums<F, R>::X* x,
                        __m512 (&sum)[R]) {
  using Lane = StreamLane<F>;
  __m512i u[16];
  HalfTransposed<F, false>(at, pitch, columns, u);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    const int left = columns - i * Lane::kValues;
    if (left > 0) Sums<F, R>::Add(Operand<F>(u, i), x + i * Lane::kValues * R, left, sum);
  }
}

// 16 rows from `row` on. x: [k][R], pairs of bf16: [pair][R][2].
template <template <WeightFormat, int> class Sums, WeightFormat F, int R>
LLM_INLINE void StreamSixteen(const uint8_t* row, int columns, const typename Sums<F, R>::X* x, float* out,
                              int64_t ldo) {
  using Lane = StreamLane<F>;
  // Into L2, because rows a power of two apart share a set of L1.
  constexpr int kAhead = 768;
  const int64_t pitch = int64_t{columns} * Lane::kBytes;
  __m512 sum[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) sum[r] = _mm512_setzero_ps();
  int k = 0;
#pragma GCC unroll 1
  for (; k + Lane::kColumns <= columns; k += Lane::kColumns, x += Lane::kColumns * R, row += kLine) {
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) _mm_prefetch(reinterpret_cast<const char*>(row + i * pitch + kAhead), _MM_HINT_T1);
    __m512i u[16];
    HalfTransposed<F, true>(row, pitch, Lane::kColumns, u);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) Sums<F, R>::Add(Operand<F>(u, i), x + i * Lane::kValues * R, Lane::kValues, sum);
  }
  if (k < columns) AddRest<Sums, F, R>(row, pitch, columns - k, x, sum);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) _mm512_storeu_ps(out + r * ldo, sum[r]);
}

// 32 rows from `row` on for one row of x: while two squares are transposed, those before them are multiplied, two
// chains side by side. Memory is fetched for 16 rows at a time, which is what hardware follows.
template <template <WeightFormat, int> class Sums, WeightFormat F>
LLM_INLINE void StreamInStep(const uint8_t* row, int columns, const typename Sums<F, 1>::X* x, float* out) {
  using Lane = StreamLane<F>;
  constexpr int kChunk = 16;  // squares in a row of which one is read while the next is fetched
  const int64_t pitch = int64_t{columns} * Lane::kBytes;
  const int squares = columns / Lane::kColumns;
  alignas(kLine) __m512i staged[2][16][2];
  __m512 sum[2][1] = {{_mm512_setzero_ps()}, {_mm512_setzero_ps()}};
#pragma GCC unroll 1
  for (int s = 0; s <= squares; ++s) {
    __m512i(*const now)[2] = staged[s & 1];
    const __m512i(*const before)[2] = staged[~s & 1];
    const int phase = s % kChunk, upper = phase / (kChunk / 2), line = phase % (kChunk / 2) * 2;
    // Behind the last chunk of these rows: the first of the next 32.
    const int64_t next = int64_t{s - phase + kChunk} * kLine;
    const uint8_t* const ahead = row + (next < pitch ? next : 32 * pitch) + line * kLine + upper * 16 * pitch;
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i)
        _mm_prefetch(reinterpret_cast<const char*>(ahead + i * pitch + v * kLine), _MM_HINT_T1);
      if (s < squares) {
        __m512i u[16];
        HalfTransposed<F, true>(row + v * 16 * pitch + int64_t{s} * kLine, pitch, Lane::kColumns, u);
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) now[i][v] = Operand<F>(u, i);
      }
      if (s == 0) continue;
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i, x += Lane::kValues)
#pragma GCC unroll 2
        for (int chain = 0; chain < 2; ++chain) Sums<F, 1>::Add(before[v * 8 + i][chain], x, Lane::kValues, sum[chain]);
    }
  }
  const int k = squares * Lane::kColumns;
#pragma GCC unroll 2
  for (int v = 0; v < 2; ++v) {
    if (k < columns)
      AddRest<Sums, F, 1>(row + v * 16 * pitch + int64_t{k} * Lane::kBytes, pitch, columns - k, x, sum[v]);
    _mm512_storeu_ps(out + v * 16, sum[v][0]);
  }
}

// 32 rows.
template <template <WeightFormat, int> class Sums, WeightFormat F, int R>
void Stream(const void* row, int columns, const void* prepared, float* out, int64_t ldo) {
  const auto* const first = static_cast<const uint8_t*>(row);
  const auto* const x = static_cast<const typename Sums<F, R>::X*>(prepared);
  if constexpr (R == 1 && StreamLane<F>::kValues == 2) {
    StreamInStep<Sums, F>(first, columns, x, out);
  } else {
    const int64_t half = int64_t{columns} * StreamLane<F>::kBytes * 16;
    for (int v = 0; v < 2; ++v) StreamSixteen<Sums, F, R>(first + v * half, columns, x, out + v * 16, ldo);
  }
}

#define LLM_STREAMS(Sums, F)                                                                             \
  {Stream<Sums, WeightFormat::F, 1>, Stream<Sums, WeightFormat::F, 2>, Stream<Sums, WeightFormat::F, 3>, \
   Stream<Sums, WeightFormat::F, 4>, Stream<Sums, WeightFormat::F, 5>, Stream<Sums, WeightFormat::F, 6>, \
   Stream<Sums, WeightFormat::F, 7>, Stream<Sums, WeightFormat::F, 8>}

#define LLM_FLOAT_STREAMS {LLM_STREAMS(FloatSums, kF32), LLM_STREAMS(FloatSums, kF16), LLM_STREAMS(FloatSums, kBf16)}

}  // namespace
}  // namespace llm
