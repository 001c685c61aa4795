// Integer products for 128-bit vectors of 64-bit ARM: the same octets as matmul_zmm-inl.h, eight vectors of 4 columns
// per octet row. What is not an integer product is the scalar table's.
#include <arm_neon.h>

#include "kernels/matmul_scalar-inl.h"

namespace llm {
namespace {

// The low half of x times codes [4 columns][4 k], added up per column. Codes are signed bytes here.
#if defined(__ARM_FEATURE_DOTPROD)
struct NeonDot {
  using Sum = int32x4_t;
  static constexpr int kSumRegisters = 1;
  LLM_INLINE static Sum Zero() { return vdupq_n_s32(0); }
  template <int quad>
  LLM_INLINE static Sum Dot(Sum sum, int8x16_t codes, int8x8_t x) {
    return vdotq_lane_s32(sum, codes, x, quad);
  }
  LLM_INLINE static int32x4_t Columns(Sum sum) { return sum; }
};
#else
// Products in 16 bits, added in pairs to 32: two lanes for each column until the end.
struct NeonDot {
  using Sum = int32x4x2_t;
  static constexpr int kSumRegisters = 2;
  LLM_INLINE static Sum Zero() { return {{vdupq_n_s32(0), vdupq_n_s32(0)}}; }
  template <int quad>
  LLM_INLINE static Sum Dot(Sum sum, int8x16_t codes, int8x8_t x) {
    const int8x8_t twice = vreinterpret_s8_s32(vdup_lane_s32(vreinterpret_s32_s8(x), quad));
    sum.val[0] = vpadalq_s16(sum.val[0], vmull_s8(vget_low_s8(codes), twice));
    sum.val[1] = vpadalq_s16(sum.val[1], vmull_s8(vget_high_s8(codes), twice));
    return sum;
  }
  LLM_INLINE static int32x4_t Columns(Sum sum) { return vpaddq_s32(sum.val[0], sum.val[1]); }
};
#endif

// The codes of k = 0..3 and of k = 4..7 of an octet for columns 4 v .. 4 v + 3, as signed bytes: 8-bit ones minus 128.
template <WeightFormat F>
LLM_INLINE void DecodeNeon(const uint8_t* octet, int v, int8x16_t& low, int8x16_t& high) {
  const auto field = [](uint8x16_t bytes, int shift, int mask) {
    return vandq_u8(vshlq_u8(bytes, vdupq_n_s8(static_cast<int8_t>(-shift))), vdupq_n_u8(static_cast<uint8_t>(mask)));
  };
  uint8x16_t first, second;
  if constexpr (CodeBits(F) == 8) {
    first = veorq_u8(vld1q_u8(octet + 16 * v), vdupq_n_u8(128));
    second = veorq_u8(vld1q_u8(octet + 2 * kLine + 16 * v), vdupq_n_u8(128));
  } else if constexpr (CodeBits(F) == 4) {
    const uint8x16_t bytes = vld1q_u8(octet + 16 * v);
    first = vandq_u8(bytes, vdupq_n_u8(15));
    second = vshrq_n_u8(bytes, 4);
  } else {
    const uint8x16_t bytes = vld1q_u8(octet + 16 * (v % 4));
    first = field(bytes, v / 4 * 4, 3);
    second = field(bytes, v / 4 * 4 + 2, 3);
    if constexpr (CodeBits(F) == 3) {
      const uint8x16_t bits = vld1q_u8(octet + kLine + 16 * (v % 2));
      const int shift = v / 4 * 2 + v % 4 / 2 * 4;
      first = vorrq_u8(first, vshlq_n_u8(field(bits, shift, 1), 2));
      second = vorrq_u8(second, vshlq_n_u8(field(bits, shift + 1, 1), 2));
    }
  }
  low = vreinterpretq_s8_u8(first);
  high = vreinterpretq_s8_u8(second);
}

#if defined(__ARM_FEATURE_MATMUL_INT8)
// Two rows of eight times two columns of eight, at once.
constexpr bool kMatrixDot = true;
LLM_INLINE int32x4_t MatrixDot(int32x4_t sum, int8x16_t rows, int8x16_t columns) {
  return vmmlaq_s32(sum, rows, columns);
}
#else
constexpr bool kMatrixDot = false;
LLM_INLINE int32x4_t MatrixDot(int32x4_t sum, int8x16_t, int8x16_t) { return sum; }
#endif

// Dwords 0 and 1 of both, or 2 and 3, in turn.
LLM_INLINE int8x16_t ZipDwords(int8x16_t a, int8x16_t b, bool high) {
  const int32x4_t x = vreinterpretq_s32_s8(a), y = vreinterpretq_s32_s8(b);
  return vreinterpretq_s8_s32(high ? vzip2q_s32(x, y) : vzip1q_s32(x, y));
}

// dot[r][v] = sums over some octets for V vectors of 4 columns from vector `first` on.
template <WeightFormat F, int R, int V>
LLM_INLINE void DotsNeon(const uint8_t* w, const int8_t* a, int octets, int first, int32x4_t (&dot)[R][V]) {
  if constexpr (kMatrixDot && R > 1) {
    constexpr int kPairs = (R + 1) / 2;
    int32x4_t sum[kPairs][V][2];  // two rows of columns 0 and 1, two rows of columns 2 and 3
    for (int i = 0; i < kPairs * V * 2; ++i) sum[i / 2 / V][i / 2 % V][i % 2] = vdupq_n_s32(0);
#pragma GCC unroll 1
    for (int o = 0; o < octets; ++o, w += OctetBytes(F), a += R * kOctet) {
      int8x16_t columns[V][2];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        int8x16_t low, high;
        DecodeNeon<F>(w, first + v, low, high);
        columns[v][0] = ZipDwords(low, high, false);
        columns[v][1] = ZipDwords(low, high, true);
      }
#pragma GCC unroll 3
      for (int p = 0; p < kPairs; ++p) {
        const int8_t* const octet = a + 2 * p * kOctet;
        const int8x16_t rows = 2 * p + 1 < R ? vld1q_s8(octet) : vcombine_s8(vld1_s8(octet), vdup_n_s8(0));
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
          sum[p][v][0] = MatrixDot(sum[p][v][0], rows, columns[v][0]);
          sum[p][v][1] = MatrixDot(sum[p][v][1], rows, columns[v][1]);
        }
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < R * V; ++i) {
      const int32x4_t* const s = sum[i / V / 2][i % V];
      dot[i / V][i % V] = i / V % 2 == 0 ? vcombine_s32(vget_low_s32(s[0]), vget_low_s32(s[1]))
                                         : vcombine_s32(vget_high_s32(s[0]), vget_high_s32(s[1]));
    }
  } else {
    NeonDot::Sum sum[R][V];
    for (int i = 0; i < R * V; ++i) sum[i / V][i % V] = NeonDot::Zero();
#pragma GCC unroll 1
    for (int o = 0; o < octets; ++o, w += OctetBytes(F), a += R * kOctet) {
      int8x16_t low[V], high[V];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) DecodeNeon<F>(w, first + v, low[v], high[v]);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const int8x8_t octet = vld1_s8(a + r * kOctet);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
          sum[r][v] = NeonDot::Dot<0>(sum[r][v], low[v], octet);
          sum[r][v] = NeonDot::Dot<1>(sum[r][v], high[v], octet);
        }
      }
    }
    for (int i = 0; i < R * V; ++i) dot[i / V][i % V] = NeonDot::Columns(sum[i / V][i % V]);
  }
}

// Scale, minimum and zero point of columns 4 v .. 4 v + 3.
template <WeightFormat F>
struct HeadNeon {
  float32x4_t scale, minimum;
  int32x4_t zero;

  LLM_INLINE static float32x4_t Halves(const uint8_t* p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(reinterpret_cast<const uint16_t*>(p))));
  }

  LLM_INLINE HeadNeon(const uint8_t* group, const uint8_t* lines, int g, int v) {
    const auto nibbles = [&](int line) {
      const uint32x4_t words = vreinterpretq_u32_u8(vld1q_u8(lines + line * kLine + v % 4 * 16));
      const int32x4_t shift = vdupq_n_s32(-(g % kMetaPeriod * 8 + v / 4 * 4));
      return vreinterpretq_s32_u32(vandq_u32(vshlq_u32(words, shift), vdupq_n_u32(15)));
    };
    if constexpr (IsTwoLevel(F)) {
      scale = vcvtq_f32_s32(vaddq_s32(nibbles(0), vdupq_n_s32(1)));
    } else {
      scale = Halves(group + 8 * v);
    }
    if constexpr (HasMinima(F)) minimum = Halves(group + kLine + 8 * v);
    if constexpr (HasZeroPoints(F)) zero = nibbles(MetaLines(F) - 1);
  }
};

// R rows against one block, V vectors of 4 columns at a time within a segment.
template <WeightFormat F, int R, int V>
void RowsNeon(const uint8_t* block, const SegmentPlan& plan, const PreparedRows& x, float* out, int64_t ldo) {
  constexpr int kVectors = kBlockRows / 4;
  const uint8_t *group = block + HeaderBytes(F), *lines = group, *codes = group;
  float total[R][kBlockRows] = {}, part[R][kBlockRows];
  const int8_t* quants = x.quants;
  const int32_t* base = x.base;
  const float* act_scale = x.scale;
  int until_group = 0, g = -1;
  for (int s = 0; s < plan.segments; act_scale += R) {
    const int end = Smaller(s + plan.per_span, plan.segments);
    std::memset(part, 0, sizeof part);
    for (; s < end; ++s, base += R) {
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
#pragma GCC unroll 8
      for (int first = 0; first < kVectors; first += V) {
        int32x4_t dots[R][V];
        DotsNeon<F, R, V>(codes, quants, octets, first, dots);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
          const HeadNeon<F> head(group, lines, g, first + v);
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) {
            int32x4_t dot = dots[r][v];
            if constexpr (HasZeroPoints(F)) {
              dot = vmlaq_n_s32(dot, head.zero, base[r]);
            } else if constexpr (!HasMinima(F) && CodeBits(F) != 8) {  // signed bytes have no zero point left
              dot = vaddq_s32(dot, vdupq_n_s32(base[r]));
            }
            float* const to = part[r] + 4 * (first + v);
            float32x4_t p = vfmaq_f32(vld1q_f32(to), vcvtq_f32_s32(dot), head.scale);
            if constexpr (HasMinima(F)) p = vfmaq_n_f32(p, head.minimum, static_cast<float>(base[r]));
            vst1q_f32(to, p);
          }
        }
      }
      quants += octets * R * kOctet;
      codes += octets * OctetBytes(F);
    }
    for (int i = 0; i < R * kVectors; ++i) {
      float* const to = total[i / kVectors] + 4 * (i % kVectors);
      const float32x4_t p = vld1q_f32(part[i / kVectors] + 4 * (i % kVectors));
      vst1q_f32(to, vfmaq_n_f32(vld1q_f32(to), p, act_scale[i / kVectors]));
    }
  }
  for (int i = 0; i < R * kVectors; ++i) {
    float32x4_t t = vld1q_f32(total[i / kVectors] + 4 * (i % kVectors));
    if constexpr (IsTwoLevel(F)) t = vmulq_f32(t, vreinterpretq_f32_u8(vld1q_u8(block + 16 * (i % kVectors))));
    vst1q_f32(out + i / kVectors * ldo + 4 * (i % kVectors), t);
  }
}

// x is [columns][rows]: one fma chain over k for each output.
void MultiplyFloatNeon(const float* x, int rows, const float* panel, int columns, bool first, float* out, int64_t ldo) {
  constexpr int kVectors = kBlockRows / 4;
  for (int r = 0; r < rows; ++r) {
    float32x4_t sum[kVectors];
    for (int v = 0; v < kVectors; ++v) sum[v] = first ? vdupq_n_f32(0) : vld1q_f32(out + r * ldo + 4 * v);
    for (int k = 0; k < columns; ++k)
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v)
        sum[v] = vfmaq_n_f32(sum[v], vld1q_f32(panel + k * kBlockRows + 4 * v), x[k * rows + r]);
    for (int v = 0; v < kVectors; ++v) vst1q_f32(out + r * ldo + 4 * v, sum[v]);
  }
}

// Vectors at a time: sums and operands in 32 registers.
constexpr int VectorsOf(int rows) {
  return rows * NeonDot::kSumRegisters <= 4 ? 4 : rows * NeonDot::kSumRegisters <= 8 ? 2 : 1;
}

#define LLM_NEON_ROWS(F)                                                                   \
  {RowsNeon<WeightFormat::F, 1, VectorsOf(1)>, RowsNeon<WeightFormat::F, 2, VectorsOf(2)>, \
   RowsNeon<WeightFormat::F, 3, VectorsOf(3)>, RowsNeon<WeightFormat::F, 4, VectorsOf(4)>, \
   RowsNeon<WeightFormat::F, 5, VectorsOf(5)>, RowsNeon<WeightFormat::F, 6, VectorsOf(6)>}

#define LLM_NEON_ALL_ROWS                                                                                              \
  {LLM_NEON_ROWS(kSym4), LLM_NEON_ROWS(kAsym4), LLM_NEON_ROWS(kMin4),  LLM_NEON_ROWS(kTwo4), LLM_NEON_ROWS(kTwo4Asym), \
   LLM_NEON_ROWS(kInt8), LLM_NEON_ROWS(kSym2),  LLM_NEON_ROWS(kAsym2), LLM_NEON_ROWS(kSym3), LLM_NEON_ROWS(kAsym3)}

constexpr MatmulKernels NeonKernels() {
  constexpr MatmulKernels::RowsKernel kRows[kPackedFormats][kChunkRows] = LLM_NEON_ALL_ROWS;
  MatmulKernels kernels = kScalarKernels;
  for (int f = 0; f < kPackedFormats; ++f)
    for (int r = 0; r < kChunkRows; ++r) kernels.rows[f][r] = kRows[f][r];
  kernels.multiply_float = MultiplyFloatNeon;
  return kernels;
}

}  // namespace
}  // namespace llm
