// Integer products for 512-bit vectors: up to six rows against one block of 32 columns, in one pass over its codes.
//
// The code is the unsigned operand of the dot product and the activation the signed one, broadcast from memory, so
// nothing is subtracted or shuffled per weight. A constant zero point sits in the accumulator's start.
#include "kernels/matmul_x86-inl.h"

namespace llm {
namespace {

// vpmaddubsw adds two products of at most 15 * 127 in 16 bits; eight such sums, four octets, do not overflow. One
// vpmaddwd then widens them.
struct MaddZmm {
  static constexpr bool kWide = false;
  static constexpr int kFoldOctets = 4;
  LLM_INLINE static __m512i Dot(__m512i acc, __m512i codes, __m512i x) {
    return _mm512_add_epi16(acc, _mm512_maddubs_epi16(codes, x));
  }
  // total + weight * the 16-bit sums
  LLM_INLINE static __m512i Fold(__m512i total, __m512i acc, int weight) {
    return _mm512_add_epi32(total, _mm512_madd_epi16(acc, _mm512_set1_epi16(static_cast<int16_t>(weight))));
  }
};

#if defined(__AVX512VNNI__)
// vpdpbusd adds four products to 32 bits, without saturation.
struct VnniZmm {
  static constexpr bool kWide = true;
  static constexpr int kFoldOctets = 1 << 30;
  LLM_INLINE static __m512i Dot(__m512i acc, __m512i codes, __m512i x) { return _mm512_dpbusd_epi32(acc, codes, x); }
  LLM_INLINE static __m512i Fold(__m512i, __m512i acc, int) { return acc; }
};
#endif

LLM_INLINE __m512i LowNibbles(__m512i v) { return _mm512_and_si512(v, _mm512_set1_epi8(0x0F)); }
LLM_INLINE __m512i HighNibbles(__m512i v) { return LowNibbles(_mm512_srli_epi16(v, 4)); }

LLM_INLINE __m512i BroadcastQuad512(const int8_t* quad) {
  int32_t bits;
  std::memcpy(&bits, quad, sizeof bits);
  return _mm512_set1_epi32(bits);
}

// Field f = 0..3 of bytes with four of 2 bits.
LLM_INLINE __m512i BitPairs(__m512i v, int f) {
  return _mm512_and_si512(_mm512_srli_epi16(v, 2 * f), _mm512_set1_epi8(3));
}

// The operands of an octet: for its two vectors of 16 columns v, the codes of k = 0..3 and of k = 4..7.
template <WeightFormat F>
LLM_INLINE void DecodeOctet(const uint8_t* octet, __m512i (&low)[2], __m512i (&high)[2]) {
  if constexpr (CodeBits(F) >= 4) {
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      __m512i b = _mm512_loadu_si512(octet + v * kLine);
      asm("" : "+v"(b));  // one load for both nibbles: gcc would fold it into two vpand
      low[v] = CodeBits(F) == 8 ? b : LowNibbles(b);
      high[v] = CodeBits(F) == 8 ? _mm512_loadu_si512(octet + (2 + v) * kLine) : HighNibbles(b);
    }
  } else {
    __m512i b = _mm512_loadu_si512(octet);
    asm("" : "+v"(b));
    low[0] = BitPairs(b, 0), high[0] = BitPairs(b, 1), low[1] = BitPairs(b, 2), high[1] = BitPairs(b, 3);
    if constexpr (CodeBits(F) == 3) {
      // Columns 0..7 of a vector have their third bits in bits 0..3 of the 32 bytes, columns 8..15 in bits 4..7.
      const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(octet + kLine));
      const __m512i third = _mm512_inserti64x4(_mm512_castsi256_si512(bits), _mm256_srli_epi16(bits, 4), 1);
      const __m512i four = _mm512_set1_epi8(4);
      low[0] = _mm512_or_si512(low[0], _mm512_and_si512(_mm512_slli_epi16(third, 2), four));
      high[0] = _mm512_or_si512(high[0], _mm512_and_si512(_mm512_slli_epi16(third, 1), four));
      low[1] = _mm512_or_si512(low[1], _mm512_and_si512(third, four));
      high[1] = _mm512_or_si512(high[1], _mm512_and_si512(_mm512_srli_epi16(third, 1), four));
    }
  }
}

// Walks one block's bytes and decodes what stands in front of each group, for its two vectors of 16 columns.
template <WeightFormat F>
struct StreamZmm {
  const uint8_t* at;
  int until_meta = 0;
  __m512i meta[2];  // lines of 4-bit fields, shifted so that the group's byte is the lowest
  __m512 scale[2];  // two-level formats: the multiplier
  __m512 minimum[2];
  __m512i zero[2];

  LLM_INLINE explicit StreamZmm(const uint8_t* block) : at(block + HeaderBytes(F)) {}

  LLM_INLINE static void NextNibbles(__m512i& from, __m512i (&out)[2]) {
    const __m512i mask = _mm512_set1_epi32(15);
    out[0] = _mm512_and_si512(from, mask);
    out[1] = _mm512_and_si512(_mm512_srli_epi32(from, 4), mask);
    from = _mm512_srli_epi32(from, 8);
  }

  LLM_INLINE static void LoadHalves(const uint8_t* line, __m512 (&out)[2]) {
    for (int v = 0; v < 2; ++v)
      out[v] = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(line + 32 * v)));
  }

  LLM_INLINE void OpenGroup() {
    if constexpr (HasPadding(F)) at = NextLine(at);
    if constexpr (MetaLines(F) > 0) {
      if (until_meta == 0) {
        until_meta = kMetaPeriod;
        for (int l = 0; l < MetaLines(F); ++l) meta[l] = _mm512_loadu_si512(at + l * kLine);
        at += MetaLines(F) * kLine;
      }
      --until_meta;
    }
    if constexpr (IsTwoLevel(F)) {
      __m512i multiplier[2];
      NextNibbles(meta[0], multiplier);
      for (int v = 0; v < 2; ++v) scale[v] = _mm512_cvtepi32_ps(_mm512_add_epi32(multiplier[v], _mm512_set1_epi32(1)));
    } else {
      LoadHalves(at, scale);
      if constexpr (HasMinima(F)) LoadHalves(at + kLine, minimum);
      at += ScaleBytes(F);
    }
    if constexpr (HasZeroPoints(F)) NextNibbles(meta[MetaLines(F) - 1], zero);
  }
};

template <class Dot, WeightFormat F, int R>
void RowsZmm(const uint8_t* block, const SegmentPlan& plan, const PreparedRows& x, float* out, int64_t ldo) {
  constexpr bool kBytes = CodeBits(F) == 8;
  // High nibbles left in place, 16 times too large, in accumulators of their own that are shifted back once per
  // segment: saves the shift and doubles the chains. With more rows the registers are worth more.
  constexpr bool kInPlace = Dot::kWide && CodeBits(F) == 4 && R == 1;
  // 8-bit codes for 16-bit sums: two nibbles, the high one with a weight of 16.
  constexpr bool kTwoNibbles = !Dot::kWide && kBytes;
  // Zero points: for few rows a product with the sum per segment; for more, code - zero + 16 as the operand (four byte
  // additions per octet, on any pipe) and a constant 16 in the start.
  constexpr bool kShifted = Dot::kWide && HasZeroPoints(F) && R >= 3;
  constexpr bool kMultiply = HasZeroPoints(F) && !kShifted;
  // Measured: costs a kernel that waits for memory up to 18 %, gains 5 to 25 % for one that computes.
  constexpr int kPrefetch = R >= 4 ? 4096 : 0;

  StreamZmm<F> stream(block);
  const int8_t* a = x.quants;
  const int32_t* base = x.base;
  const float* act_scale = x.scale;
  // Five rows of two-level weights have no register left for it, and would keep a vector on the stack.
  constexpr bool kFetch = kPrefetch > 0 && !(F == WeightFormat::kTwo4 && R == 5);
  const uint8_t* fetch = kFetch ? x.fetch : nullptr;
  __m512 total[R][2];
#pragma GCC unroll 16
  for (int i = 0; i < R * 2; ++i) total[i / 2][i % 2] = _mm512_setzero_ps();
  int until_group = 0;
  for (int s = 0; s < plan.segments; act_scale += R) {
    // Totals, touched once in a span, leave the registers to what every octet needs.
    if constexpr (R >= 2) asm("" : "+m"(total));
    const int end = Smaller(s + plan.per_span, plan.segments);
    __m512 part[R][2];
#pragma GCC unroll 16
    for (int i = 0; i < R * 2; ++i) part[i / 2][i % 2] = _mm512_setzero_ps();
    for (; s < end; ++s, base += R) {
      if (until_group == 0) {
        until_group = plan.per_group;
        stream.OpenGroup();
        if constexpr (kShifted)
          for (auto& zero : stream.zero)
            zero = _mm512_mullo_epi32(_mm512_sub_epi32(_mm512_set1_epi32(16), zero), _mm512_set1_epi32(0x01010101));
      }
      --until_group;
      const int octets = s == plan.segments - 1 ? plan.tail_octets : plan.octets;
      __m512i sum[R][2];
#pragma GCC unroll 16
      for (int i = 0; i < R * 2; ++i)
        sum[i / 2][i % 2] = kMultiply || HasMinima(F) ? _mm512_setzero_si512()
                                                      : _mm512_set1_epi32(kShifted ? 16 * base[i / 2] : base[i / 2]);
      for (int left = octets; left > 0;) {
        const int run = Smaller(left, Dot::kFoldOctets);
        left -= run;
        __m512i acc[R][2], second[R][2];
#pragma GCC unroll 16
        for (int i = 0; i < R * 2; ++i) {
          acc[i / 2][i % 2] = Dot::kWide ? sum[i / 2][i % 2] : _mm512_setzero_si512();
          second[i / 2][i % 2] = _mm512_setzero_si512();
        }
#pragma GCC unroll 1
        for (int o = 0; o < run; ++o, a += R * kOctet) {
          __m512i low[2], high[2];
          if constexpr (kInPlace) {
#pragma GCC unroll 2
            for (int v = 0; v < 2; ++v) {
              __m512i b = _mm512_loadu_si512(stream.at + v * kLine);
              asm("" : "+v"(b));
              low[v] = LowNibbles(b);
              high[v] = _mm512_and_si512(b, _mm512_set1_epi8(static_cast<char>(0xF0)));
            }
          } else {
            DecodeOctet<F>(stream.at, low, high);
          }
          if (kFetch && fetch != nullptr) {
            for (int i = 0; i < x.fetch_lines; ++i, fetch += kLine)
              _mm_prefetch(reinterpret_cast<const char*>(fetch), _MM_HINT_T1);
          } else if (kPrefetch > 0) {
            for (int i = 0; i < OctetBytes(F); i += kLine)
              _mm_prefetch(reinterpret_cast<const char*>(stream.at) + i + kPrefetch, _MM_HINT_T0);
          }
          if constexpr (kShifted)
#pragma GCC unroll 2
            for (int v = 0; v < 2; ++v) {
              low[v] = _mm512_add_epi8(low[v], stream.zero[v]);
              high[v] = _mm512_add_epi8(high[v], stream.zero[v]);
            }
          stream.at += OctetBytes(F);
          const auto add = [&](int r, int v, __m512i codes, __m512i quad, bool to_second)
                               __attribute__((always_inline)) {
                                 __m512i& to = to_second ? second[r][v] : acc[r][v];
                                 to = Dot::Dot(to, codes, quad);
                               };
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) {
            const __m512i a0 = BroadcastQuad512(a + r * kOctet), a1 = BroadcastQuad512(a + r * kOctet + 4);
#pragma GCC unroll 2
            for (int v = 0; v < 2; ++v) {
              if constexpr (kTwoNibbles) {
                add(r, v, LowNibbles(low[v]), a0, false);
                add(r, v, HighNibbles(low[v]), a0, true);
                add(r, v, LowNibbles(high[v]), a1, false);
                add(r, v, HighNibbles(high[v]), a1, true);
              } else {
                add(r, v, low[v], a0, false);
                add(r, v, high[v], a1, kInPlace);
              }
            }
          }
        }
#pragma GCC unroll 16
        for (int i = 0; i < R * 2; ++i) {
          __m512i& to = sum[i / 2][i % 2];
          to = Dot::Fold(to, acc[i / 2][i % 2], 1);
          if constexpr (kInPlace) to = _mm512_add_epi32(to, _mm512_srai_epi32(second[i / 2][i % 2], 4));
          if constexpr (kTwoNibbles) to = Dot::Fold(to, second[i / 2][i % 2], 16);
        }
      }
#pragma GCC unroll 16
      for (int i = 0; i < R * 2; ++i) {
        const int r = i / 2, v = i % 2;
        __m512i dot = sum[r][v];
        if constexpr (kMultiply)
          dot = _mm512_add_epi32(dot, _mm512_mullo_epi32(stream.zero[v], _mm512_set1_epi32(base[r])));
        part[r][v] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), stream.scale[v], part[r][v]);
        if constexpr (HasMinima(F))
          part[r][v] = _mm512_fmadd_ps(_mm512_set1_ps(static_cast<float>(base[r])), stream.minimum[v], part[r][v]);
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < R * 2; ++i)
      total[i / 2][i % 2] = _mm512_fmadd_ps(part[i / 2][i % 2], _mm512_set1_ps(act_scale[i / 2]), total[i / 2][i % 2]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < R * 2; ++i) {
    __m512 t = total[i / 2][i % 2];
    if constexpr (IsTwoLevel(F)) t = _mm512_mul_ps(t, _mm512_loadu_ps(block + i % 2 * kLine));
    _mm512_storeu_ps(out + i / 2 * ldo + i % 2 * 16, t);
  }
}

#define LLM_ZMM_ROWS(Dot, F)                                                                             \
  {RowsZmm<Dot, WeightFormat::F, 1>, RowsZmm<Dot, WeightFormat::F, 2>, RowsZmm<Dot, WeightFormat::F, 3>, \
   RowsZmm<Dot, WeightFormat::F, 4>, RowsZmm<Dot, WeightFormat::F, 5>, RowsZmm<Dot, WeightFormat::F, 6>}

#define LLM_ZMM_ALL_ROWS(Dot)                                                                                    \
  {LLM_ZMM_ROWS(Dot, kSym4),     LLM_ZMM_ROWS(Dot, kAsym4), LLM_ZMM_ROWS(Dot, kMin4), LLM_ZMM_ROWS(Dot, kTwo4),  \
   LLM_ZMM_ROWS(Dot, kTwo4Asym), LLM_ZMM_ROWS(Dot, kInt8),  LLM_ZMM_ROWS(Dot, kSym2), LLM_ZMM_ROWS(Dot, kAsym2), \
   LLM_ZMM_ROWS(Dot, kSym3),     LLM_ZMM_ROWS(Dot, kAsym3)}

}  // namespace
}  // namespace llm
