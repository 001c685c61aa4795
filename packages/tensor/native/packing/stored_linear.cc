#include "packing/stored_linear.h"

#include <algorithm>
#include <cmath>

#include "packing/packed_fields.h"

namespace llm {
namespace {

// Blocks whose words are read side by side where the words of one octet lie side by side, so that runs are longer than
// a cache line. Where every row has words of its own, 32 streams are enough.
constexpr int kBlocksSideBySide = 16;

struct Block {
  uint8_t* data;
  int64_t row;  // the first
  int count;    // of rows that there are
};

float ScaleAt(const StoredLinear& from, int64_t row, int64_t g) {
  const int64_t index = from.scales_by_row ? row * from.groups + g : g * from.codes.rows + row;
  if (from.scale_type == ScaleType::kF32) return FloatOfBits(LoadWord(from.scales + 4 * index));
  uint16_t bits;
  std::memcpy(&bits, from.scales + 2 * index, sizeof bits);
  return from.scale_type == ScaleType::kF16 ? HalfToFloat(bits) : Bf16ToFloat(bits);
}

void StoreScales(const StoredLinear& from, const Block& block, int g, uint8_t* group) {
  if (from.scale_type == ScaleType::kF16 && !from.scales_by_row) {
    std::memcpy(group, from.scales + 2 * (g * from.codes.rows + block.row), static_cast<size_t>(2 * block.count));
  } else {
    for (int c = 0; c < block.count; ++c) {
      const uint16_t half = FloatToHalf(ScaleAt(from, block.row + c, g));
      std::memcpy(group + 2 * c, &half, sizeof half);
    }
  }
  std::memset(group + 2 * block.count, 0, static_cast<size_t>(2 * (kBlockRows - block.count)));
}

// The zero points of a group; 0 for rows that are not there.
void LoadZeros(const StoredLinear& from, const Block& block, int g, uint8_t* zeros) {
  const FieldMatrix& fields = from.zero_points;
  const uint32_t mask = (1u << fields.bits) - 1, added = static_cast<uint32_t>(from.zero_added);
  std::memset(zeros, 0, kBlockRows);
  if (fields.order == FieldOrder::kInterleaved) {
    for (int c = 0; c < block.count; ++c)
      zeros[c] = static_cast<uint8_t>((Field(fields, block.row + c, g) + added) & mask);
    return;
  }
  int c = 0;
  for (; c + kOctet <= block.count; c += kOctet) {
    uint32_t low, high;
    LoadOctet(fields, g, 1, (block.row + c) / kOctet, &low, &high);
    low = (low + added * kOnes) & mask * kOnes;
    high = (high + added * kOnes) & mask * kOnes;
    std::memcpy(zeros + c, &low, 4);
    std::memcpy(zeros + c + 4, &high, 4);
  }
  for (; c < block.count; ++c) zeros[c] = static_cast<uint8_t>((Field(fields, g, block.row + c) + added) & mask);
}

// An octet that the matrix ends in: codes beyond its end are the zero point.
void LoadLastOctet(const StoredLinear& from, const Block& block, int64_t octet, const uint8_t* zeros, uint32_t* low,
                   uint32_t* high) {
  for (int c = 0; c < block.count; ++c) {
    uint8_t codes[kOctet];
    for (int j = 0; j < kOctet; ++j) {
      const int64_t k = octet * kOctet + j;
      codes[j] = k < from.codes.columns ? static_cast<uint8_t>(Field(from.codes, block.row + c, k)) : zeros[c];
    }
    std::memcpy(low + c, codes, 4);
    std::memcpy(high + c, codes + 4, 4);
  }
}

void StoreOctet(const StoredLinear& from, const PackedLayout& layout, const Block& block, int64_t octet,
                const uint8_t* zeros, uint8_t* to) {
  const bool whole = (octet + 1) * kOctet <= layout.columns;
  if (CodeBits(layout.format) == 4 && whole) {
    uint32_t words[kBlockRows];
    LoadNibbles(from.codes, block.row, block.count, octet, words);
    for (int c = block.count; c < kBlockRows; ++c) words[c] = zeros[c] * 17 * kOnes;
    std::memcpy(to, words, sizeof words);
    return;
  }
  uint32_t low[kBlockRows], high[kBlockRows];
  if (whole) {
    LoadOctet(from.codes, block.row, block.count, octet, low, high);
  } else {
    LoadLastOctet(from, block, octet, zeros, low, high);
  }
  for (int c = block.count; c < kBlockRows; ++c) low[c] = high[c] = zeros[c] * kOnes;
  std::memset(to, 0, static_cast<size_t>(OctetBytes(layout.format)));
  for (int c = 0; c < kBlockRows; ++c) WriteOctet(layout.format, to, c, low[c], high[c]);
}

// The largest difference that the rounding of a group's scales made.
float GroupError(const StoredLinear& from, const PackedLayout& layout, const Block& block, int g,
                 const uint8_t* zeros) {
  float largest = 0;
  for (int c = 0; c < block.count; ++c) {
    const PackedColumn column = {layout, block.data, c};
    const float wanted = ScaleAt(from, block.row + c, g), error = std::abs(column.Half(g, 0) - wanted);
    if (error == 0) continue;
    int64_t left = layout.columns - int64_t{g} * layout.group_octets * kOctet;
    int farthest = 0;
    for (int octet = 0; octet < column.OctetsIn(g); ++octet, left -= kOctet) {
      uint32_t quads[2];
      ReadOctet(layout.format, column.Octet(g, octet), c, &quads[0], &quads[1]);
      uint8_t codes[kOctet];
      std::memcpy(codes, quads, sizeof codes);
      for (int j = 0; j < std::min<int64_t>(kOctet, left); ++j)
        farthest = std::max(farthest, std::abs(static_cast<int>(codes[j]) - zeros[c]));
    }
    if (farthest == 0) continue;
    largest = LargerError(largest, error * static_cast<float>(farthest));
  }
  return largest;
}

}  // namespace

float ImportLinear(const StoredLinear& from, const PackedLayout& layout, int64_t block_begin, int64_t block_end,
                   uint8_t* data) {
  float largest = 0;
  const bool has_zeros = from.zero_points.words != nullptr;
  const int most = from.codes.order == FieldOrder::kAcross ? 1 : kBlocksSideBySide;
  for (int64_t first = block_begin; first < block_end; first += most) {
    const int side = static_cast<int>(std::min<int64_t>(most, block_end - first));
    Block blocks[kBlocksSideBySide];
    uint8_t zeros[kBlocksSideBySide][kBlockRows];
    for (int b = 0; b < side; ++b) {
      const int64_t row = (first + b) * kBlockRows;
      const int count = static_cast<int>(std::min<int64_t>(kBlockRows, layout.rows - row));
      blocks[b] = {data + (first + b) * layout.block_bytes, row, count};
      std::memset(zeros[b], FixedZero(layout.format), kBlockRows);
    }
    for (int g = 0; g < layout.groups; ++g) {
      for (int b = 0; b < side; ++b) {
        const PackedColumn column = {layout, blocks[b].data, 0};
        StoreScales(from, blocks[b], g, column.Group(g));
        if (!has_zeros) continue;
        LoadZeros(from, blocks[b], g, zeros[b]);
        uint8_t* const meta = column.Nibble(g, MetaLines(layout.format) - 1);
        if (g % kMetaPeriod == 0) std::memset(meta, 0, kLine);
        for (int c = 0; c < 16; ++c) meta[4 * c] = static_cast<uint8_t>(zeros[b][c] | zeros[b][16 + c] << 4);
      }
      const int octets = PackedColumn{layout, blocks[0].data, 0}.OctetsIn(g);
      for (int octet = 0; octet < octets; ++octet) {
        const int64_t k = int64_t{g} * layout.group_octets + octet;
        for (int b = 0; b < side; ++b) {
          uint8_t* const to = PackedColumn{layout, blocks[b].data, 0}.Octet(g, octet);
          StoreOctet(from, layout, blocks[b], k, zeros[b], to);
        }
      }
      for (int b = 0; b < side && HasPadding(layout.format); ++b) {
        uint8_t* const end = PackedColumn{layout, blocks[b].data, 0}.Octet(g, octets);
        std::memset(end, 0, static_cast<size_t>(NextLine(end) - end));
      }
      for (int b = 0; b < side && from.scale_type != ScaleType::kF16; ++b)
        largest = std::max(largest, GroupError(from, layout, blocks[b], g, zeros[b]));
    }
  }
  return largest;
}

float DequantizeFields(const FieldMatrix& codes, int groups, const float* scales, const uint8_t* zero_points,
                       const int32_t* group_of, int64_t row_begin, int64_t row_end, uint16_t* out) {
  float largest = 0;
  for (int64_t row = row_begin; row < row_end; row += kBlockRows) {
    const int count = static_cast<int>(std::min<int64_t>(kBlockRows, row_end - row));
    for (int64_t k = 0; k < codes.columns; k += kOctet) {
      uint32_t quads[2][kBlockRows] = {};
      const int width = static_cast<int>(std::min<int64_t>(kOctet, codes.columns - k));
      if (width == kOctet) LoadOctet(codes, row, count, k / kOctet, quads[0], quads[1]);
      for (int c = 0; c < count; ++c) {
        for (int j = 0; j < width; ++j) {
          const uint32_t code = width == kOctet ? quads[j / 4][c] >> 8 * (j % 4) & 255 : Field(codes, row + c, k + j);
          const int64_t group = (row + c) * groups + group_of[k + j];
          const float value = scales[group] * static_cast<float>(static_cast<int>(code) - zero_points[group]);
          const uint16_t half = FloatToHalf(value);
          out[(row + c - row_begin) * codes.columns + k + j] = half;
          largest = LargerError(largest, std::abs(HalfToFloat(half) - value));
        }
      }
    }
  }
  return largest;
}

}  // namespace llm
