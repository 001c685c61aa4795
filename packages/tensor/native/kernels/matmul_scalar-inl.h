// The matmul family in plain C++: the reference that every other table is tested against, and the fallback.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/half.h"
#include "kernels/matmul_kernels.h"

namespace llm {
namespace {

template <class T>
LLM_INLINE T Load(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

void Quantize(const float* x, int64_t ldx, int rows, int columns, const SegmentPlan& plan, int base_factor,
              int8_t* quants, int32_t* base, float* scale) {
  for (int r = 0; r < rows; ++r) {
    const float* row = x + r * ldx;
    int k = 0, octet = 0;
    for (int s = 0, span = 0; s < plan.segments; ++span) {
      const int end = s + plan.per_span < plan.segments ? s + plan.per_span : plan.segments;
      const int span_octets = (end - s) * plan.octets - (end == plan.segments ? plan.octets - plan.tail_octets : 0);
      const int stop = k + span_octets * kOctet < columns ? k + span_octets * kOctet : columns;
      uint32_t top = 0;  // as bits: finite magnitudes are ordered as integers, infinity and NaN are above
      for (int i = k; i < stop; ++i) {
        const uint32_t magnitude = BitsOfFloat(row[i]) & 0x7FFFFFFF;
        if (magnitude > top) top = magnitude;
      }
      const float peak = FloatOfBits(top);
      const bool finite = top < 0x7F800000, zero = !finite || peak < kSmallestPeak;
      scale[span * rows + r] = !finite ? NAN : zero ? 0.0f : peak / 127.0f;
      const float inverse = zero ? 0.0f : 127.0f / peak;
      for (; s < end; ++s) {
        const int octets = s == plan.segments - 1 ? plan.tail_octets : plan.octets;
        int32_t sum = 0;
        for (int i = 0; i < octets * kOctet; ++i, ++k) {
          int32_t q = zero || k >= columns ? 0 : static_cast<int32_t>(std::lrintf(row[k] * inverse));
          q = q > 127 ? 127 : q < -127 ? -127 : q;
          quants[(octet + i / kOctet) * rows * kOctet + r * kOctet + i % kOctet] = static_cast<int8_t>(q);
          sum += q;
        }
        octet += octets;
        base[s * rows + r] = base_factor * sum;
      }
    }
  }
}

// What stands in front of a group's octets.
template <WeightFormat F>
struct GroupHead {
  float scale[kBlockRows];
  float minimum[kBlockRows];
  int32_t zero[kBlockRows];

  // `g` is the group and `lines` its metadata; returns the first octet.
  const uint8_t* Read(const uint8_t* group, const uint8_t* lines, int g) {
    for (int c = 0; c < kBlockRows; ++c) {
      const auto nibble = [&](int line) {
        return lines[line * kLine + 4 * (c % 16) + g % kMetaPeriod] >> (c < 16 ? 0 : 4) & 15;
      };
      scale[c] = IsTwoLevel(F) ? static_cast<float>(nibble(0) + 1) : HalfToFloat(Load<uint16_t>(group + 2 * c));
      if constexpr (HasMinima(F)) minimum[c] = HalfToFloat(Load<uint16_t>(group + kLine + 2 * c));
      if constexpr (HasZeroPoints(F)) zero[c] = nibble(MetaLines(F) - 1);
    }
    return group + ScaleBytes(F);
  }
};

// Code k = 0..7 of one column in an octet.
template <WeightFormat F>
LLM_INLINE int Code(const uint8_t* octet, int column, int k) {
  if constexpr (CodeBits(F) == 8) return octet[k / 4 * 4 * kBlockRows + 4 * column + k % 4];
  if constexpr (CodeBits(F) == 4) return octet[4 * column + k % 4] >> (k < 4 ? 0 : 4) & 15;
  const int pair = octet[4 * (column % 16) + k % 4] >> (column / 16 * 4 + k / 4 * 2) & 3;
  if constexpr (CodeBits(F) == 2) return pair;
  const int shift = column % 16 / 8 * 4 + column / 16 * 2 + k / 4;
  return pair + 4 * (octet[kLine + 4 * (column % 8) + k % 4] >> shift & 1);
}

template <WeightFormat F>
void Rows(const uint8_t* block, const SegmentPlan& plan, const PreparedRows& x, float* out, int64_t ldo) {
  const uint8_t *p = block + HeaderBytes(F), *lines = p;
  const int8_t* quants = x.quants;
  float total[kChunkRows][kBlockRows] = {};
  GroupHead<F> head;
  for (int s = 0, span = 0; s < plan.segments; ++span) {
    const int end = s + plan.per_span < plan.segments ? s + plan.per_span : plan.segments;
    float part[kChunkRows][kBlockRows] = {};
    for (; s < end; ++s) {
      if (s % plan.per_group == 0) {
        const int g = s / plan.per_group;
        if constexpr (HasPadding(F)) p = NextLine(p);
        if (MetaLines(F) > 0 && g % kMetaPeriod == 0) lines = p, p += MetaLines(F) * kLine;
        p = head.Read(p, lines, g);
      }
      const int octets = s == plan.segments - 1 ? plan.tail_octets : plan.octets;
      for (int r = 0; r < x.rows; ++r) {
        const int32_t base = x.base[s * x.rows + r];
        const int8_t* a = quants + r * kOctet;
        for (int c = 0; c < kBlockRows; ++c) {
          int32_t dot = HasZeroPoints(F) ? head.zero[c] * base : HasMinima(F) ? 0 : base;
          for (int o = 0; o < octets; ++o)
            for (int k = 0; k < kOctet; ++k) dot += Code<F>(p + o * OctetBytes(F), c, k) * a[o * x.rows * kOctet + k];
          part[r][c] = std::fmaf(static_cast<float>(dot), head.scale[c], part[r][c]);
          if constexpr (HasMinima(F)) part[r][c] = std::fmaf(static_cast<float>(base), head.minimum[c], part[r][c]);
        }
      }
      p += octets * OctetBytes(F);
      quants += octets * x.rows * kOctet;
    }
    for (int r = 0; r < x.rows; ++r)
      for (int c = 0; c < kBlockRows; ++c) total[r][c] = std::fmaf(part[r][c], x.scale[span * x.rows + r], total[r][c]);
  }
  for (int r = 0; r < x.rows; ++r)
    for (int c = 0; c < kBlockRows; ++c)
      out[r * ldo + c] = IsTwoLevel(F) ? total[r][c] * Load<float>(block + 4 * c) : total[r][c];
}

template <WeightFormat F>
void Unpack(const PackedLayout& layout, const uint8_t* block, int k_begin, int k_end, float* panel) {
  GroupHead<F> head;
  for (int k = k_begin; k < k_end;) {
    const int octet = k / kOctet, g = octet / layout.group_octets;
    const uint8_t* group = block + GroupOffset(layout, F, g);
    const uint8_t* octets = head.Read(group, block + MetaOffset(layout, F, g), g);
    if constexpr (IsTwoLevel(F))
      for (int c = 0; c < kBlockRows; ++c) head.scale[c] *= Load<float>(block + 4 * c);
    const int group_end = (g + 1) * layout.group_octets * kOctet;
    const int end = group_end < k_end ? group_end : k_end;
    for (; k < end; ++k, panel += kBlockRows) {
      const uint8_t* from = octets + (k / kOctet - g * layout.group_octets) * OctetBytes(F);
      for (int c = 0; c < kBlockRows; ++c) {
        const int zero = HasZeroPoints(F) ? head.zero[c] : FixedZero(F);
        panel[c] = head.scale[c] * static_cast<float>(Code<F>(from, c, k % kOctet) - zero);
        if constexpr (HasMinima(F)) panel[c] += head.minimum[c];
      }
    }
  }
}

// For tiles, which multiply bytes: as matmul_panel_zmm-inl.h lays a panel out, with the same meaning of its bytes.
template <WeightFormat F>
void UnpackCodes(const PackedLayout& layout, const SegmentPlan& plan, const uint8_t* block, const CodePanel& panel) {
  const int octets = (layout.groups - 1) * layout.group_octets + layout.tail_octets;
  const int end = panel.segment_end * plan.octets < octets ? panel.segment_end * plan.octets : octets;
  const int begin = panel.segment_begin * plan.octets, first_group = begin / layout.group_octets;
  GroupHead<F> head;
  uint8_t* to = panel.codes;
  for (int octet = begin; octet < end; ++octet) {
    const int g = octet / layout.group_octets;
    const uint8_t* const octet_zero = head.Read(block + GroupOffset(layout, F, g), block + MetaOffset(layout, F, g), g);
    const uint8_t* const from = octet_zero + (octet - g * layout.group_octets) * OctetBytes(F);
    for (int c = 0; c < kBlockRows; ++c) {
      panel.scale[(g - first_group) * kBlockRows + c] = head.scale[c];
      if constexpr (HasMinima(F)) panel.minimum[(g - first_group) * kBlockRows + c] = head.minimum[c];
      for (int k = 0; k < kOctet; ++k) {
        int byte = Code<F>(from, c, k);
        if constexpr (HasZeroPoints(F)) byte += 16 - head.zero[c];
        if constexpr (F == WeightFormat::kTwo4) byte = (byte - 8) * static_cast<int>(head.scale[c]) + 128;
        to[k / 4 * 4 * kBlockRows + 4 * c + k % 4] = static_cast<uint8_t>(byte);
      }
    }
    to += 2 * 4 * kBlockRows;
  }
}

template <WeightFormat F>
LLM_INLINE float DenseElement(const void* row, int64_t index) {
  if constexpr (F == WeightFormat::kF32) return Load<float>(static_cast<const uint8_t*>(row) + 4 * index);
  const uint16_t bits = Load<uint16_t>(static_cast<const uint8_t*>(row) + 2 * index);
  return F == WeightFormat::kF16 ? HalfToFloat(bits) : Bf16ToFloat(bits);
}

template <WeightFormat F>
void UnpackDense(const void* row, int64_t stride, int count, int columns, float* panel) {
  for (int c = 0; c < kBlockRows; ++c)
    for (int k = 0; k < columns; ++k)
      panel[k * kBlockRows + c] = c < count ? DenseElement<F>(row, c * stride + k) : 0.0f;
}

void MultiplyFloat(const float* x, int rows, const float* panel, int columns, bool first, float* out, int64_t ldo) {
  for (int r = 0; r < rows; ++r) {
    float* to = out + r * ldo;
    if (first) std::memset(to, 0, kBlockRows * sizeof(float));
    for (int k = 0; k < columns; ++k)
      for (int c = 0; c < kBlockRows; ++c) to[c] = std::fmaf(x[k * rows + r], panel[k * kBlockRows + c], to[c]);
  }
}

#define LLM_SCALAR_ROWS(F) {Rows<F>, Rows<F>, Rows<F>, Rows<F>, Rows<F>, Rows<F>}

constexpr MatmulKernels kScalarKernels = {
    Quantize,
    {LLM_SCALAR_ROWS(WeightFormat::kSym4), LLM_SCALAR_ROWS(WeightFormat::kAsym4), LLM_SCALAR_ROWS(WeightFormat::kMin4),
     LLM_SCALAR_ROWS(WeightFormat::kTwo4), LLM_SCALAR_ROWS(WeightFormat::kTwo4Asym),
     LLM_SCALAR_ROWS(WeightFormat::kInt8), LLM_SCALAR_ROWS(WeightFormat::kSym2), LLM_SCALAR_ROWS(WeightFormat::kAsym2),
     LLM_SCALAR_ROWS(WeightFormat::kSym3), LLM_SCALAR_ROWS(WeightFormat::kAsym3)},
    {UnpackCodes<WeightFormat::kSym4>, UnpackCodes<WeightFormat::kAsym4>, UnpackCodes<WeightFormat::kMin4>,
     UnpackCodes<WeightFormat::kTwo4>, UnpackCodes<WeightFormat::kTwo4Asym>, UnpackCodes<WeightFormat::kInt8>,
     UnpackCodes<WeightFormat::kSym2>, UnpackCodes<WeightFormat::kAsym2>, UnpackCodes<WeightFormat::kSym3>,
     UnpackCodes<WeightFormat::kAsym3>},
    {},
    {Unpack<WeightFormat::kSym4>, Unpack<WeightFormat::kAsym4>, Unpack<WeightFormat::kMin4>,
     Unpack<WeightFormat::kTwo4>, Unpack<WeightFormat::kTwo4Asym>, Unpack<WeightFormat::kInt8>,
     Unpack<WeightFormat::kSym2>, Unpack<WeightFormat::kAsym2>, Unpack<WeightFormat::kSym3>,
     Unpack<WeightFormat::kAsym3>},
    {UnpackDense<WeightFormat::kF32>, UnpackDense<WeightFormat::kF16>, UnpackDense<WeightFormat::kBf16>},
    MultiplyFloat,
    {},
};

}  // namespace
}  // namespace llm
