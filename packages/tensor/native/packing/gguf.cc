#include "packing/gguf.h"

#include "packing/packed_fields.h"

namespace llm {
namespace {

void ImportColumn(const GgufType& type, const PackedColumn& to, const uint8_t* from) {
  constexpr uint32_t kNibbles = 15 * kOnes, kSignBits = 128 * kOnes;
  const WeightFormat format = to.layout.format;
  for (int g = 0; g < to.layout.groups; ++g, from += type.block_bytes) {
    std::memcpy(to.Group(g) + 2 * to.column, from, 2);
    if (HasMinima(format)) std::memcpy(to.Group(g) + kLine + 2 * to.column, from + 2, 2);
    const uint8_t* codes = from + (HasMinima(format) ? 4 : 2);
    for (int octet = 0; octet < kGgufBlock / kOctet; ++octet) {
      uint32_t low, high;
      if (CodeBits(format) == 8) {  // signed to unsigned: +128
        low = LoadWord(codes + octet * kOctet) ^ kSignBits;
        high = LoadWord(codes + octet * kOctet + 4) ^ kSignBits;
      } else {
        const int shift = octet < 2 ? 0 : 4;
        low = LoadWord(codes + octet % 2 * kOctet) >> shift & kNibbles;
        high = LoadWord(codes + octet % 2 * kOctet + 4) >> shift & kNibbles;
      }
      WriteOctet(format, to.Octet(g, octet), to.column, low, high);
    }
  }
}

// A row of weights 0.
void ZeroColumn(const PackedColumn& to) {
  const uint32_t zero = static_cast<uint32_t>(FixedZero(to.layout.format)) * kOnes;
  for (int g = 0; g < to.layout.groups; ++g)
    for (int octet = 0; octet < to.OctetsIn(g); ++octet)
      WriteOctet(to.layout.format, to.Octet(g, octet), to.column, zero, zero);
}

}  // namespace

const GgufType* FindGgufType(std::string_view name) {
  for (const GgufType& type : kGgufTypes)
    if (type.name == name) return &type;
  return nullptr;
}

void ImportGguf(const GgufType& type, const PackedLayout& layout, const uint8_t* from, const int32_t* row_order,
                int64_t block_begin, int64_t block_end, uint8_t* data) {
  const int64_t row_bytes = layout.columns / kGgufBlock * type.block_bytes;
  for (int64_t b = block_begin; b < block_end; ++b) {
    uint8_t* block = data + b * layout.block_bytes;
    std::memset(block, 0, static_cast<size_t>(layout.block_bytes));
    for (int c = 0; c < kBlockRows; ++c) {
      const int64_t row = b * kBlockRows + c;
      const PackedColumn to = {layout, block, c};
      if (row >= layout.rows) {
        ZeroColumn(to);
      } else {
        ImportColumn(type, to, from + (row_order == nullptr ? row : row_order[row]) * row_bytes);
      }
    }
  }
}

}  // namespace llm
