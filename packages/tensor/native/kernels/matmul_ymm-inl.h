// Integer products for 256-bit vectors: the same octets as matmul_zmm-inl.h, four vectors of 8 columns per octet row.
#include "kernels/matmul_x86-inl.h"

namespace llm {
namespace {

// vpmaddubsw adds two products of at most 15 * 127 in 16 bits; eight such sums, four octets, do not overflow. One
// vpmaddwd then widens them.
struct MaddYmm {
  static constexpr bool kWide = false;
  static constexpr int kFoldOctets = 4;
  LLM_INLINE static __m256i Dot(__m256i acc, __m256i codes, __m256i x) {
    return _mm256_add_epi16(acc, _mm256_maddubs_epi16(codes, x));
  }
  // total + weight * the 16-bit sums
  LLM_INLINE static __m256i Fold(__m256i total, __m256i acc, int weight) {
    return _mm256_add_epi32(total, _mm256_madd_epi16(acc, _mm256_set1_epi16(static_cast<int16_t>(weight))));
  }
};

#if defined(__AVXVNNI__)
// vpdpbusd, VEX-encoded, adds four products to 32 bits, without saturation.
struct VnniYmm {
  static constexpr bool kWide = true;
  static constexpr int kFoldOctets = 1 << 30;
  LLM_INLINE static __m256i Dot(__m256i acc, __m256i codes, __m256i x) {
    return _mm256_dpbusd_avx_epi32(acc, codes, x);
  }
  LLM_INLINE static __m256i Fold(__m256i, __m256i acc, int) { return acc; }
};
#endif

// Scales, minima and zero points of the V vectors of 8 columns that start at vector `first` of a block.
template <WeightFormat F, int V>
struct HeadYmm {
  __m256 scale[V], minimum[V];
  __m256i zero[V];

  LLM_INLINE static __m256 Halves(const uint8_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }

  LLM_INLINE void Load(const uint8_t* group, const uint8_t* lines, int g, int first) {
    for (int v = 0; v < V; ++v) {
      const int c = 8 * (first + v);
      const auto nibbles = [&](int line) {
        const __m256i d = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lines + line * kLine + c % 16 * 4));
        const __m128i shift = _mm_cvtsi32_si128(g % kMetaPeriod * 8 + c / 16 * 4);
        return _mm256_and_si256(_mm256_srl_epi32(d, shift), _mm256_set1_epi32(15));
      };
      if constexpr (IsTwoLevel(F)) {
        scale[v] = _mm256_cvtepi32_ps(_mm256_add_epi32(nibbles(0), _mm256_set1_epi32(1)));
      } else {
        scale[v] = Halves(group + 2 * c);
      }
      if constexpr (HasMinima(F)) minimum[v] = Halves(group + kLine + 2 * c);
      if constexpr (HasZeroPoints(F)) zero[v] = nibbles(MetaLines(F) - 1);
    }
  }
};

// The codes of k = 0..3 and of k = 4..7 of an octet for columns 8 v .. 8 v + 7. `in_place`: the latter 16 times too
// large.
template <WeightFormat F, bool in_place>
LLM_INLINE void DecodeYmm(const uint8_t* octet, int v, __m256i& low, __m256i& high) {
  const auto load = [&](int at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(octet + at)); };
  if constexpr (CodeBits(F) == 8) {
    low = load(32 * v), high = load(2 * kLine + 32 * v);
  } else if constexpr (CodeBits(F) == 4) {
    const __m256i mask = _mm256_set1_epi8(0x0F), b = load(32 * v);
    low = _mm256_and_si256(b, mask);
    high = in_place ? _mm256_andnot_si256(mask, b) : _mm256_and_si256(_mm256_srli_epi16(b, 4), mask);
  } else {
    const int field = v / 2 * 2;  // of the columns beyond 16 in the bytes that they share with those below
    const __m256i mask = _mm256_set1_epi8(3), b = _mm256_srl_epi16(load(v % 2 * 32), _mm_cvtsi32_si128(2 * field));
    low = _mm256_and_si256(b, mask), high = _mm256_and_si256(_mm256_srli_epi16(b, 2), mask);
    if constexpr (CodeBits(F) == 3) {
      const __m256i four = _mm256_set1_epi8(4);
      // Shifted so that the third bits of k = 0..3 are bits 2 and those of k = 4..7 bits 3 of their bytes.
      const int shift = v % 2 * 4 + field - 2;
      const __m256i third =
          shift < 0 ? _mm256_slli_epi16(load(kLine), 2) : _mm256_srl_epi16(load(kLine), _mm_cvtsi32_si128(shift));
      low = _mm256_or_si256(low, _mm256_and_si256(third, four));
      high = _mm256_or_si256(high, _mm256_and_si256(_mm256_srli_epi16(third, 1), four));
    }
  }
}

// R rows against one block, 8 * V columns at a time within a segment: fewer than 32 keep the integer accumulators in 16
// registers, and the rest of the segment's lines then comes from L1.
template <class Dot, WeightFormat F, int R, int V>
void RowsYmm(const uint8_t* block, const SegmentPlan& plan, const PreparedRows& x, float* out, int64_t ldo) {
  constexpr bool kBytes = CodeBits(F) == 8;
  // As in matmul_zmm-inl.h.
  constexpr bool kInPlace = Dot::kWide && CodeBits(F) == 4 && R == 1;
  constexpr bool kTwoNibbles = !Dot::kWide && kBytes;
  const __m256i mask = _mm256_set1_epi8(0x0F);
  const uint8_t *group = block + HeaderBytes(F), *lines = group, *codes = group;
  // Sums over spans and within a span live in L1: the registers are for integer accumulators. The empty asm keeps the
  // compiler from lifting them back into registers, which makes gcc spill in the octet loop.
  alignas(32) float total[R][kBlockRows] = {}, part[R][kBlockRows];
  const int8_t* quants = x.quants;
  const int32_t* base = x.base;
  const float* act_scale = x.scale;
  int until_group = 0, g = -1;

  for (int s = 0; s < plan.segments; act_scale += R) {
    const int end = Smaller(s + plan.per_span, plan.segments);
    for (int i = 0; i < R * 4; ++i) _mm256_store_ps(&part[i / 4][8 * (i % 4)], _mm256_setzero_ps());
    for (; s < end; ++s, base += R) {
      asm volatile("" : : "r"(part), "r"(total) : "memory");
      if (until_group == 0) {
        until_group = plan.per_group;
        group = HasPadding(F) ? NextLine(codes) : codes;
        if (++g % kMetaPeriod == 0 && MetaLines(F) > 0) {
          lines = group;
          group += MetaLines(F) * kLine;
        }
        codes = group + ScaleBytes(F);
      }
      --until_group;
      const int octets = s == plan.segments - 1 ? plan.tail_octets : plan.octets;
#pragma GCC unroll 4
      for (int first = 0; first < 4; first += V) {
        HeadYmm<F, V> head;
        head.Load(group, lines, g, first);
        const uint8_t* w = codes;
        const int8_t* a = quants;
        __m256i sum[R][V];
#pragma GCC unroll 8
        for (int i = 0; i < R * V; ++i)
          sum[i / V][i % V] =
              HasZeroPoints(F) || HasMinima(F) ? _mm256_setzero_si256() : _mm256_set1_epi32(base[i / V]);
        for (int left = octets; left > 0;) {
          const int run = Smaller(left, Dot::kFoldOctets);
          left -= run;
          __m256i acc[R][V], second[R][V];
#pragma GCC unroll 8
          for (int i = 0; i < R * V; ++i) {
            acc[i / V][i % V] = Dot::kWide ? sum[i / V][i % V] : _mm256_setzero_si256();
            second[i / V][i % V] = _mm256_setzero_si256();
          }
#pragma GCC unroll 1
          for (int o = 0; o < run; ++o, w += OctetBytes(F), a += R * kOctet) {
            const auto decode = [&](int v, __m256i& low, __m256i& high)
                                    __attribute__((always_inline)) { DecodeYmm<F, kInPlace>(w, first + v, low, high); };
            const auto add_quad = [&](int r, int v, __m256i bytes, __m256i quad) __attribute__((always_inline)) {
              if constexpr (kTwoNibbles) {
                acc[r][v] = Dot::Dot(acc[r][v], _mm256_and_si256(bytes, mask), quad);
                second[r][v] = Dot::Dot(second[r][v], _mm256_and_si256(_mm256_srli_epi16(bytes, 4), mask), quad);
              } else {
                acc[r][v] = Dot::Dot(acc[r][v], bytes, quad);
              }
            };
            const auto add = [&](int r, int v, __m256i low, __m256i high, __m256i a0, __m256i a1)
                                 __attribute__((always_inline)) {
                                   add_quad(r, v, low, a0);
                                   if constexpr (kInPlace) {
                                     second[r][v] = Dot::Dot(second[r][v], high, a1);
                                   } else {
                                     add_quad(r, v, high, a1);
                                   }
                                 };
            // The loop order that keeps fewer operands alive: all activations, or all codes.
            if constexpr (R <= 2) {
              __m256i quads[2 * R], low, high;
#pragma GCC unroll 4
              for (int i = 0; i < 2 * R; ++i) quads[i] = BroadcastQuad256(a + 4 * i);
#pragma GCC unroll 4
              for (int v = 0; v < V; ++v) {
                decode(v, low, high);
#pragma GCC unroll 2
                for (int r = 0; r < R; ++r) add(r, v, low, high, quads[2 * r], quads[2 * r + 1]);
              }
            } else {
              __m256i low[V], high[V];
#pragma GCC unroll 4
              for (int v = 0; v < V; ++v) decode(v, low[v], high[v]);
#pragma GCC unroll 8
              for (int r = 0; r < R; ++r) {
                const __m256i a0 = BroadcastQuad256(a + r * kOctet), a1 = BroadcastQuad256(a + r * kOctet + 4);
#pragma GCC unroll 4
                for (int v = 0; v < V; ++v) add(r, v, low[v], high[v], a0, a1);
              }
            }
          }
#pragma GCC unroll 8
          for (int i = 0; i < R * V; ++i) {
            __m256i& to = sum[i / V][i % V];
            to = Dot::Fold(to, acc[i / V][i % V], 1);
            if constexpr (kInPlace) to = _mm256_add_epi32(to, _mm256_srai_epi32(second[i / V][i % V], 4));
            if constexpr (kTwoNibbles) to = Dot::Fold(to, second[i / V][i % V], 16);
          }
        }
#pragma GCC unroll 8
        for (int i = 0; i < R * V; ++i) {
          const int r = i / V, v = i % V;
          __m256i dot = sum[r][v];
          if constexpr (HasZeroPoints(F))
            dot = _mm256_add_epi32(dot, _mm256_mullo_epi32(head.zero[v], _mm256_set1_epi32(base[r])));
          float* const to = &part[r][8 * (first + v)];
          __m256 p = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), head.scale[v], _mm256_load_ps(to));
          if constexpr (HasMinima(F))
            p = _mm256_fmadd_ps(_mm256_set1_ps(static_cast<float>(base[r])), head.minimum[v], p);
          _mm256_store_ps(to, p);
        }
      }
      quants += octets * R * kOctet;
      codes += octets * OctetBytes(F);
    }
    for (int i = 0; i < R * 4; ++i) {
      float* const to = &total[i / 4][8 * (i % 4)];
      const __m256 p = _mm256_load_ps(&part[i / 4][8 * (i % 4)]);
      _mm256_store_ps(to, _mm256_fmadd_ps(p, _mm256_set1_ps(act_scale[i / 4]), _mm256_load_ps(to)));
    }
  }
  for (int i = 0; i < R * 4; ++i) {
    __m256 t = _mm256_load_ps(&total[i / 4][8 * (i % 4)]);
    if constexpr (IsTwoLevel(F))
      t = _mm256_mul_ps(t, _mm256_loadu_ps(reinterpret_cast<const float*>(block) + 8 * (i % 4)));
    _mm256_storeu_ps(out + i / 4 * ldo + 8 * (i % 4), t);
  }
}

#define LLM_YMM_ROWS(Dot, F)                                                                                      \
  {RowsYmm<Dot, WeightFormat::F, 1, 4>, RowsYmm<Dot, WeightFormat::F, 2, 4>, RowsYmm<Dot, WeightFormat::F, 3, 2>, \
   RowsYmm<Dot, WeightFormat::F, 4, 2>, RowsYmm<Dot, WeightFormat::F, 5, 1>, RowsYmm<Dot, WeightFormat::F, 6, 1>}

#define LLM_YMM_ALL_ROWS(Dot)                                                                                    \
  {LLM_YMM_ROWS(Dot, kSym4),     LLM_YMM_ROWS(Dot, kAsym4), LLM_YMM_ROWS(Dot, kMin4), LLM_YMM_ROWS(Dot, kTwo4),  \
   LLM_YMM_ROWS(Dot, kTwo4Asym), LLM_YMM_ROWS(Dot, kInt8),  LLM_YMM_ROWS(Dot, kSym2), LLM_YMM_ROWS(Dot, kAsym2), \
   LLM_YMM_ROWS(Dot, kSym3),     LLM_YMM_ROWS(Dot, kAsym3)}

}  // namespace
}  // namespace llm
