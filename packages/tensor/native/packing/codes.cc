#include "packing/codes.h"

#include <algorithm>

#include "packing/packed_fields.h"

namespace llm {
namespace {

// Up to 8 codes from k on, the rest `padding`.
void LoadCodes(const uint8_t* codes, int64_t left, uint32_t padding, uint32_t* low, uint32_t* high) {
  uint8_t bytes[kOctet];
  if (left >= kOctet) {
    std::memcpy(bytes, codes, kOctet);
  } else {
    std::memset(bytes, static_cast<int>(padding), sizeof bytes);
    std::memcpy(bytes, codes, static_cast<size_t>(left));
  }
  std::memcpy(low, bytes, 4);
  std::memcpy(high, bytes + 4, 4);
}

void PackColumn(const PackedColumn& to, const PlainCodes& from, int64_t row) {
  const PackedLayout& layout = to.layout;
  const WeightFormat format = layout.format;
  const bool exists = row < layout.rows;
  const int64_t first = row * layout.groups;
  if (IsTwoLevel(format)) to.ColumnScale(exists ? from.scales[row] : 0.0f);
  for (int g = 0; g < layout.groups; ++g) {
    int zero = FixedZero(format);
    if (IsTwoLevel(format)) {
      to.NibbleValue(g, 0, exists ? from.multipliers[first + g] - 1 : 0);
    } else {
      to.Half(g, 0, exists ? from.scales[first + g] : 0.0f);
    }
    if (HasMinima(format)) to.Half(g, 1, exists ? from.minima[first + g] : 0.0f);
    if (HasZeroPoints(format)) {
      zero = exists ? from.zero_points[first + g] : 0;
      to.NibbleValue(g, MetaLines(format) - 1, zero);
    }
    const uint32_t padding = static_cast<uint32_t>(zero) * kOnes;
    int64_t k = static_cast<int64_t>(g) * layout.group_octets * kOctet;
    for (int octet = 0; octet < to.OctetsIn(g); ++octet, k += kOctet) {
      uint32_t low = padding, high = padding;
      if (exists) LoadCodes(from.codes + row * layout.columns + k, layout.columns - k, padding, &low, &high);
      WriteOctet(format, to.Octet(g, octet), to.column, low, high);
    }
  }
}

void UnpackColumn(const PackedColumn& from, const PlainCodes& to, int64_t row) {
  const PackedLayout& layout = from.layout;
  const WeightFormat format = layout.format;
  const int64_t first = row * layout.groups;
  if (IsTwoLevel(format)) to.scales[row] = from.ColumnScale();
  for (int g = 0; g < layout.groups; ++g) {
    if (IsTwoLevel(format)) {
      to.multipliers[first + g] = static_cast<uint8_t>(from.Multiplier(g));
    } else {
      to.scales[first + g] = from.Half(g, 0);
    }
    if (HasMinima(format)) to.minima[first + g] = from.Half(g, 1);
    if (HasZeroPoints(format)) to.zero_points[first + g] = static_cast<uint8_t>(from.ZeroPoint(g));
    int64_t k = static_cast<int64_t>(g) * layout.group_octets * kOctet;
    for (int octet = 0; octet < from.OctetsIn(g); ++octet, k += kOctet) {
      uint32_t quads[2];
      ReadOctet(format, from.Octet(g, octet), from.column, &quads[0], &quads[1]);
      std::memcpy(to.codes + row * layout.columns + k, quads,
                  static_cast<size_t>(std::min<int64_t>(kOctet, layout.columns - k)));
    }
  }
}

}  // namespace

void PackCodes(const PackedLayout& layout, const PlainCodes& from, int64_t block_begin, int64_t block_end,
               uint8_t* data) {
  for (int64_t b = block_begin; b < block_end; ++b) {
    uint8_t* block = data + b * layout.block_bytes;
    std::memset(block, 0, static_cast<size_t>(layout.block_bytes));
    for (int c = 0; c < kBlockRows; ++c) PackColumn({layout, block, c}, from, b * kBlockRows + c);
  }
}

void UnpackCodes(const PackedLayout& layout, const uint8_t* data, int64_t block_begin, int64_t block_end,
                 const PlainCodes& to) {
  const int64_t end = std::min(layout.rows, block_end * kBlockRows);
  for (int64_t row = block_begin * kBlockRows; row < end; ++row) {
    uint8_t* block = const_cast<uint8_t*>(data) + row / kBlockRows * layout.block_bytes;
    UnpackColumn({layout, block, static_cast<int>(row % kBlockRows)}, to, row);
  }
}

void DequantizePacked(const PackedLayout& layout, const uint8_t* data, int64_t row_begin, int64_t row_end, float* out) {
  const WeightFormat format = layout.format;
  for (int64_t row = row_begin; row < row_end; ++row) {
    uint8_t* block = const_cast<uint8_t*>(data) + row / kBlockRows * layout.block_bytes;
    const PackedColumn from = {layout, block, static_cast<int>(row % kBlockRows)};
    int64_t left = layout.columns;
    for (int g = 0; g < layout.groups; ++g) {
      const float scale = from.Scale(g);
      const float minimum = HasMinima(format) ? from.Half(g, 1) : 0.0f;
      const int zero = HasZeroPoints(format) ? from.ZeroPoint(g) : FixedZero(format);
      for (int octet = 0; octet < from.OctetsIn(g); ++octet, left -= kOctet) {
        uint32_t quads[2];
        ReadOctet(format, from.Octet(g, octet), from.column, &quads[0], &quads[1]);
        uint8_t codes[kOctet];
        std::memcpy(codes, quads, sizeof codes);
        const int count = static_cast<int>(std::min<int64_t>(kOctet, left));
        // A code times an fp16 scale is exact in fp32, so the sum with a minimum is rounded once without an fma.
        for (int j = 0; j < count; ++j) out[j] = scale * static_cast<float>(codes[j] - zero);
        for (int j = 0; HasMinima(format) && j < count; ++j) out[j] += minimum;
        out += count;
      }
    }
  }
}

}  // namespace llm
