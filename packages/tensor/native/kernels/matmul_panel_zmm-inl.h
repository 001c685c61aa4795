// Integer products of up to six rows with a panel of bytes, for 512-bit VNNI. A panel costs an unpacking per block, and
// spares every six rows the masks and shifts of decoding, and those of zero points altogether.
//
//   formats        byte of the panel          zero of the bytes  scales
//   kSym4, kSym2.. code                       8, 2, 4            per group
//   kAsym4, Two..  code - zero point + 16     16                 per group; two-level: the multiplier
//   kMin4          code                       none               per group, and minima
//   kTwo4          multiplier (code - 8) + 128    128            none: exact in 8 bits, |16 * 8| = 128
//
// The last one sums whole spans in integers; within 2^24 that is what the sum of groups in fp32 gives, bit for bit.
#include "kernels/matmul_zmm-inl.h"

namespace llm {
namespace {

constexpr int kPanelQuad = 4 * kBlockRows;  // bytes: 4 values of k for 32 columns

LLM_INLINE constexpr bool SumsSpans(WeightFormat f) { return f == WeightFormat::kTwo4; }

// The 4-bit field of a metadata line for group g, for the 16 columns of vector v.
LLM_INLINE __m512i FieldOfGroup(const uint8_t* line, int g, int v) {
  const __m128i shift = _mm_cvtsi32_si128(g % kMetaPeriod * 8 + v * 4);
  return _mm512_and_si512(_mm512_srl_epi32(_mm512_loadu_si512(line), shift), _mm512_set1_epi32(15));
}

LLM_INLINE __m512 HalvesOfGroup(const uint8_t* line, int v) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(line + 32 * v)));
}

// The low 16 bits of every lane, in both its halves.
LLM_INLINE __m512i InBothHalves(__m512i v) {
  return _mm512_or_si512(_mm512_and_si512(v, _mm512_set1_epi32(0xFFFF)), _mm512_slli_epi32(v, 16));
}

// Bytes multiplier * (code - 8) + 128 of 64 codes.
LLM_INLINE __m512i ScaledCodes(__m512i codes, __m512i multiplier, __m512i offset) {
  const __m512i bytes = _mm512_set1_epi16(0xFF);
  const __m512i even = _mm512_mullo_epi16(_mm512_and_si512(codes, bytes), multiplier);
  const __m512i odd = _mm512_mullo_epi16(_mm512_srli_epi16(codes, 8), multiplier);
  // 16 * 7 + 128 < 256 and 16 * -8 + 128 = 0: nothing carries out of a byte.
  return _mm512_or_si512(_mm512_and_si512(_mm512_add_epi16(even, offset), bytes),
                         _mm512_slli_epi16(_mm512_add_epi16(odd, offset), 8));
}

template <WeightFormat F>
void UnpackCodesZmm(const PackedLayout& layout, const SegmentPlan& plan, const uint8_t* block, const CodePanel& panel) {
  const int octets = (layout.groups - 1) * layout.group_octets + layout.tail_octets;
  const int first = panel.segment_begin * plan.octets, last = Smaller(panel.segment_end * plan.octets, octets);
  uint8_t* to = panel.codes;
  float *scale = panel.scale, *minimum = panel.minimum;
  for (int octet = first; octet < last;) {
    const int g = octet / layout.group_octets;
    const int end = Smaller(last, (g + 1) * layout.group_octets);
    const uint8_t* const group = block + GroupOffset(layout, F, g);
    const uint8_t* const lines = block + MetaOffset(layout, F, g);
    __m512i add[2], multiplier[2], offset[2];
    for (int v = 0; v < 2; ++v) {
      if constexpr (IsTwoLevel(F)) {
        multiplier[v] = _mm512_add_epi32(FieldOfGroup(lines, g, v), _mm512_set1_epi32(1));
        if constexpr (SumsSpans(F)) {
          const __m512i eight = _mm512_slli_epi32(multiplier[v], 3);
          offset[v] = InBothHalves(_mm512_sub_epi32(_mm512_set1_epi32(128), eight));
          multiplier[v] = InBothHalves(multiplier[v]);
        } else {
          _mm512_storeu_ps(scale + 16 * v, _mm512_cvtepi32_ps(multiplier[v]));
        }
      } else {
        _mm512_storeu_ps(scale + 16 * v, HalvesOfGroup(group, v));
        if constexpr (HasMinima(F)) _mm512_storeu_ps(minimum + 16 * v, HalvesOfGroup(group + kLine, v));
      }
      if constexpr (HasZeroPoints(F)) {
        const __m512i zero = FieldOfGroup(lines + (MetaLines(F) - 1) * kLine, g, v);
        add[v] = _mm512_mullo_epi32(_mm512_sub_epi32(_mm512_set1_epi32(16), zero), _mm512_set1_epi32(0x01010101));
      }
    }
    scale += kBlockRows, minimum += kBlockRows;
    const uint8_t* from = group + ScaleBytes(F) + int64_t{octet - g * layout.group_octets} * OctetBytes(F);
    for (; octet < end; ++octet, from += OctetBytes(F), to += 2 * kPanelQuad) {
      __m512i lows[2], highs[2];
      DecodeOctet<F>(from, lows, highs);
      for (int v = 0; v < 2; ++v) {
        __m512i low = lows[v], high = highs[v];
        if constexpr (HasZeroPoints(F)) low = _mm512_add_epi8(low, add[v]), high = _mm512_add_epi8(high, add[v]);
        if constexpr (SumsSpans(F)) {
          low = ScaledCodes(low, multiplier[v], offset[v]);
          high = ScaledCodes(high, multiplier[v], offset[v]);
        }
        _mm512_storeu_si512(to + v * kLine, low);
        _mm512_storeu_si512(to + kPanelQuad + v * kLine, high);
      }
    }
  }
}

template <WeightFormat F, int R>
void PanelZmm(const CodePanel& panel, const SegmentPlan& plan, const PreparedRows& x, float* out, int64_t ldo) {
  // Prepared bases are -8, -1 or 1 times the sum of the quants.
  constexpr int kBase = SumsSpans(F) || HasZeroPoints(F) ? 16 : HasMinima(F) ? 0 : 1;
  const int begin = panel.segment_begin;
  const int8_t* a = x.quants + int64_t{begin} * plan.octets * R * kOctet;
  const int32_t* base = x.base + begin * R;
  const float* act_scale = x.scale + begin / plan.per_span * R;
  const uint8_t* b = panel.codes;
  const int first_group = begin / plan.per_group;
  const uint8_t* ahead = panel.ahead;
  const int ahead_lines = panel.ahead_lines / ((panel.segment_end - begin + plan.per_span - 1) / plan.per_span) + 1;
  for (int s = begin; s < panel.segment_end; act_scale += R) {
    const int end = Smaller(s + plan.per_span, panel.segment_end);
    __m512 part[R][2];
    __m512i acc[R][2];
#pragma GCC unroll 16
    for (int i = 0; i < R * 2; ++i) {
      part[i / 2][i % 2] = _mm512_setzero_ps();
      acc[i / 2][i % 2] = _mm512_setzero_si512();
    }
    if constexpr (SumsSpans(F)) {
      int32_t start[R] = {};
      for (int i = 0; i < end - s; ++i)
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) start[r] += base[i * R + r];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = _mm512_set1_epi32(kBase * start[r]);
    }
    while (s < end) {
      // One segment, or a whole span as if it were one.
      const int count = SumsSpans(F) ? end - s : 1;
      const int missing = s + count == plan.segments ? plan.octets - plan.tail_octets : 0;
      const int octets = count * plan.octets - missing;
      if constexpr (!SumsSpans(F))
#pragma GCC unroll 16
        for (int i = 0; i < R * 2; ++i) acc[i / 2][i % 2] = _mm512_set1_epi32(kBase * base[i / 2]);
      // Two quads (an octet) per turn and no remainder: a peeled remainder loop makes gcc spill accumulators.
#pragma GCC unroll 1
      for (int o = 0; o < octets; ++o, a += R * kOctet, b += 2 * kPanelQuad) {
#pragma GCC unroll 2
        for (int q = 0; q < 2; ++q) {
          const __m512i w0 = _mm512_load_si512(b + q * kPanelQuad);
          const __m512i w1 = _mm512_load_si512(b + q * kPanelQuad + kLine);
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) {
            const __m512i quad = BroadcastQuad512(a + r * kOctet + 4 * q);
            acc[r][0] = _mm512_dpbusd_epi32(acc[r][0], w0, quad);
            acc[r][1] = _mm512_dpbusd_epi32(acc[r][1], w1, quad);
          }
        }
      }
      if constexpr (!SumsSpans(F)) {
        const float* const scale = panel.scale + (s / plan.per_group - first_group) * kBlockRows;
        const float* const minimum = panel.minimum + (s / plan.per_group - first_group) * kBlockRows;
        const __m512 scales[2] = {_mm512_loadu_ps(scale), _mm512_loadu_ps(scale + 16)};
#pragma GCC unroll 16
        for (int i = 0; i < R * 2; ++i) {
          __m512& p = part[i / 2][i % 2];
          p = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[i / 2][i % 2]), scales[i % 2], p);
          if constexpr (HasMinima(F))
            p = _mm512_fmadd_ps(_mm512_set1_ps(static_cast<float>(base[i / 2])),
                                _mm512_loadu_ps(minimum + 16 * (i % 2)), p);
        }
      }
      s += count, base += count * R;
    }
    for (int i = 0; i < ahead_lines; ++i, ahead += kLine)
      _mm_prefetch(reinterpret_cast<const char*>(ahead), _MM_HINT_T1);
    const bool last = s == plan.segments;
#pragma GCC unroll 16
    for (int i = 0; i < R * 2; ++i) {
      const int r = i / 2, v = i % 2;
      if constexpr (SumsSpans(F)) part[r][v] = _mm512_cvtepi32_ps(acc[r][v]);
      float* const to = out + r * ldo + 16 * v;
      const __m512 before = end <= plan.per_span ? _mm512_setzero_ps() : _mm512_loadu_ps(to);
      __m512 t = _mm512_fmadd_ps(part[r][v], _mm512_set1_ps(act_scale[r]), before);
      if constexpr (IsTwoLevel(F))
        if (last) t = _mm512_mul_ps(t, _mm512_loadu_ps(panel.column_scale + 16 * v));
      _mm512_storeu_ps(to, t);
    }
  }
}

#define LLM_ZMM_PANEL(F)                                                                     \
  {PanelZmm<WeightFormat::F, 1>, PanelZmm<WeightFormat::F, 2>, PanelZmm<WeightFormat::F, 3>, \
   PanelZmm<WeightFormat::F, 4>, PanelZmm<WeightFormat::F, 5>, PanelZmm<WeightFormat::F, 6>}

// 8-bit codes are bytes already: only tiles, which want fp32 scales beside them, have a panel of them.
#define LLM_ZMM_PANELS                                                                                                 \
  {UnpackCodesZmm<WeightFormat::kSym4>, UnpackCodesZmm<WeightFormat::kAsym4>,    UnpackCodesZmm<WeightFormat::kMin4>,  \
   UnpackCodesZmm<WeightFormat::kTwo4>, UnpackCodesZmm<WeightFormat::kTwo4Asym>, UnpackCodesZmm<WeightFormat::kInt8>,  \
   UnpackCodesZmm<WeightFormat::kSym2>, UnpackCodesZmm<WeightFormat::kAsym2>,    UnpackCodesZmm<WeightFormat::kSym3>,  \
   UnpackCodesZmm<WeightFormat::kAsym3>},                                                                              \
  {                                                                                                                    \
    LLM_ZMM_PANEL(kSym4), LLM_ZMM_PANEL(kAsym4), LLM_ZMM_PANEL(kMin4), LLM_ZMM_PANEL(kTwo4), LLM_ZMM_PANEL(kTwo4Asym), \
        {}, LLM_ZMM_PANEL(kSym2), LLM_ZMM_PANEL(kAsym2), LLM_ZMM_PANEL(kSym3), LLM_ZMM_PANEL(kAsym3)                   \
  }

}  // namespace
}  // namespace llm
