#include "packing/gguf.h"

#include <algorithm>
#include <cmath>

#include "packing/gguf_blocks.h"
#include "packing/packed_fields.h"

namespace llm {
namespace {

constexpr GgufType kTypes[] = {
    {"Q4_0", 32, 18, WeightFormat::kSym4, 32, 8, false, DecodeQ4_0},
    {"Q4_1", 32, 20, WeightFormat::kMin4, 32, 0, true, DecodeQ4_1},
    {"Q5_0", 32, 22, WeightFormat::kInt8, 32, 128, false, DecodeQ5_0},
    {"Q5_1", 32, 24, WeightFormat::kF16, 32, 0, true, DecodeQ5_1},
    {"Q8_0", 32, 34, WeightFormat::kInt8, 32, 128, false, DecodeQ8_0},
    {"IQ4_NL", 32, 18, WeightFormat::kInt8, 32, 128, false, DecodeIq4Nl},
    {"IQ4_XS", 256, 136, WeightFormat::kInt8, 32, 128, false, DecodeIq4Xs},
    {"Q2_K", 256, 84, WeightFormat::kMin4, 16, 0, true, DecodeQ2K},
    {"Q3_K", 256, 110, WeightFormat::kSym3, 16, 4, false, DecodeQ3K},
    {"Q4_K", 256, 144, WeightFormat::kMin4, 32, 0, true, DecodeQ4K},
    {"Q5_K", 256, 176, WeightFormat::kF16, 32, 0, true, DecodeQ5K},
    {"Q6_K", 256, 210, WeightFormat::kInt8, 16, 128, false, DecodeQ6K},
};

constexpr uint32_t kLowNibbles = 15 * kOnes;
constexpr int kAhead = 4 * kLine;  // of a row, more streams than the hardware follows

const uint8_t* RowOf(const GgufSource& from, int64_t row, int64_t row_bytes) {
  return from.data + (from.row_order == nullptr ? row : from.row_order[row]) * row_bytes;
}

// One block of 32 values of one row into column c of a group, for types whose fp16 fields stay as they are.
// A nibble of 4 consecutive bytes is 4 consecutive values: two such words make an octet.
LLM_INLINE void CopyQ4(const uint8_t* codes, uint8_t* octets, int c) {
  const uint32_t a = LoadWord(codes), b = LoadWord(codes + 4), d = LoadWord(codes + 8), e = LoadWord(codes + 12);
  const uint32_t words[4] = {(a & kLowNibbles) | (b & kLowNibbles) << 4, (d & kLowNibbles) | (e & kLowNibbles) << 4,
                             (a >> 4 & kLowNibbles) | (b & ~kLowNibbles), (d >> 4 & kLowNibbles) | (e & ~kLowNibbles)};
  for (int octet = 0; octet < 4; ++octet) std::memcpy(octets + octet * kQuadBytes + 4 * c, &words[octet], 4);
}

LLM_INLINE void CopyQ8(const uint8_t* codes, uint8_t* octets, int c) {
  for (int quad = 0; quad < 8; ++quad) {
    const uint32_t word = LoadWord(codes + 4 * quad) ^ 128 * kOnes;
    std::memcpy(octets + quad * kQuadBytes + 4 * c, &word, 4);
  }
}

// Q4_0, Q4_1 and Q8_0, group by group over all columns: every line is written once.
template <int kScaleLines, bool kBytes>
void CopyBlock(const GgufSource& from, const PackedLayout& layout, int64_t row, int count, uint8_t* block) {
  const int bytes = from.type->bytes;
  const int64_t row_bytes = layout.columns / 32 * bytes;
  const uint8_t* rows[kBlockRows];
  for (int c = 0; c < count; ++c) rows[c] = RowOf(from, row + c, row_bytes);
  for (int g = 0; g < layout.groups; ++g) {
    uint8_t* const group = block + g * layout.group_bytes;
    uint8_t* const octets = group + kScaleLines * kLine;
    for (int c = 0; c < count; ++c) {
      const uint8_t* const source = rows[c] + int64_t{g} * bytes;
      __builtin_prefetch(source + kAhead);
      for (int line = 0; line < kScaleLines; ++line) std::memcpy(group + line * kLine + 2 * c, source + 2 * line, 2);
      if (kBytes) {
        CopyQ8(source + 2 * kScaleLines, octets, c);
      } else {
        CopyQ4(source + 2 * kScaleLines, octets, c);
      }
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

// Scales or minima of a block as they are stored: every `stride` bytes one. Their rounding errors go to `errors`.
void StoreHalves(const float* values, int count, uint8_t* to, int64_t stride, float* errors) {
  uint16_t halves[kGgufMaxGroups];
  for (int i = 0; i < count; ++i) halves[i] = FloatToHalf(values[i]);
  for (int i = 0; i < count; ++i) errors[i] = HalfToFloat(halves[i]) - values[i];
  for (int i = 0; i < count; ++i) std::memcpy(to + i * stride, &halves[i], sizeof halves[i]);
}

// One block of one row. Returns the largest difference that rounding the scales makes, or `largest` if none is larger.
template <int kBits>
float StoreBlock(const GgufType& type, const GgufBlock& block, const PackedColumn& to, int first_group, float largest) {
  const int parts = type.values / type.group;
  const int64_t stride = to.layout.group_bytes;  // no lines of metadata lie between the groups of these formats
  uint8_t* const first = to.Group(first_group);
  float scales[kGgufMaxGroups], minima[kGgufMaxGroups] = {};
  StoreHalves(block.scales, parts, first + 2 * to.column, stride, scales);
  if (type.has_minima) StoreHalves(block.minima, parts, first + kLine + 2 * to.column, stride, minima);
  const uint8_t* codes = block.codes;
  for (int part = 0; part < parts; ++part) {
    uint8_t* out = first + part * stride + ScaleBytes(to.layout.format);
    for (int octet = 0; octet < type.group / kOctet; ++octet, codes += kOctet, out += kBits * kBlockRows) {
      const uint32_t low = LoadWord(codes), high = LoadWord(codes + 4);
      if (kBits == 4) {
        const uint32_t word = low | high << 4;
        std::memcpy(out + 4 * to.column, &word, 4);
      } else if (kBits == 8) {
        std::memcpy(out + 4 * to.column, &low, 4);
        std::memcpy(out + kQuadBytes + 4 * to.column, &high, 4);
      } else {
        WriteOctet(to.layout.format, out, to.column, low, high);
      }
    }
  }
  for (int part = 0; part < parts; ++part) {
    // No code is farther than 128 from the zero: most groups cannot make the largest difference.
    constexpr float kFarthest = kBits == 8 ? 128.0f : 15.0f;
    if (std::abs(scales[part]) * kFarthest + std::abs(minima[part]) <= largest) continue;
    // The difference is linear in the code: the extremes suffice.
    const uint8_t* const group = block.codes + part * type.group;
    const auto [low, high] = std::minmax_element(group, group + type.group);
    for (const int code : {*low - type.zero, *high - type.zero})
      largest = LargerError(largest, std::abs(scales[part] * static_cast<float>(code) + minima[part]));
  }
  return largest;
}

// One group as fp16. Returns the largest difference as its bits.
int32_t DequantizeGroup(const GgufType& type, const GgufBlock& block, int part, uint16_t* __restrict out) {
  const float scale = block.scales[part], minimum = type.has_minima ? block.minima[part] : 0.0f;
  const uint8_t* const codes = block.codes + part * type.group;
  int32_t largest = 0;
  for (int j = 0; j < type.group; ++j) {
    const float value = scale * static_cast<float>(codes[j] - type.zero) + minimum;
    out[j] = FloatToHalf(value);
    const int32_t difference = static_cast<int32_t>(BitsOfFloat(std::abs(HalfToFloat(out[j]) - value)));
    largest = difference > largest ? difference : largest;
  }
  return largest;
}

}  // namespace

const GgufType* FindGgufType(std::string_view name) {
  for (const GgufType& type : kTypes)
    if (type.name == name) return &type;
  return nullptr;
}

float ImportGguf(const GgufSource& from, const PackedLayout& layout, int64_t block_begin, int64_t block_end,
                 uint8_t* data) {
  const GgufType& type = *from.type;
  const int64_t blocks = layout.columns / type.values, row_bytes = blocks * type.bytes;
  float largest = 0;
  for (int64_t b = block_begin; b < block_end; ++b) {
    uint8_t* const block = data + b * layout.block_bytes;
    const int64_t row = b * kBlockRows;
    const int count = static_cast<int>(std::min<int64_t>(kBlockRows, layout.rows - row));
    if (CodeBits(type.format) == 3 || count < kBlockRows)
      std::memset(block, 0, static_cast<size_t>(layout.block_bytes));
    if (type.decode == DecodeQ4_0) {
      CopyBlock<1, false>(from, layout, row, count, block);
    } else if (type.decode == DecodeQ4_1) {
      CopyBlock<2, false>(from, layout, row, count, block);
    } else if (type.decode == DecodeQ8_0) {
      CopyBlock<1, true>(from, layout, row, count, block);
    } else {
      const uint8_t* rows[kBlockRows];
      for (int c = 0; c < count; ++c) rows[c] = RowOf(from, row + c, row_bytes);
      const int bits = CodeBits(type.format);
      const auto store = bits == 4 ? StoreBlock<4> : bits == 8 ? StoreBlock<8> : StoreBlock<3>;
      for (int64_t i = 0; i < blocks; ++i) {
        for (int c = 0; c < count; ++c) {
          GgufBlock decoded;
          __builtin_prefetch(rows[c] + (i + 1) * type.bytes);
          type.decode(rows[c] + i * type.bytes, &decoded);
          const int first_group = static_cast<int>(i * (type.values / type.group));
          largest = store(type, decoded, {layout, block, c}, first_group, largest);
        }
      }
    }
    for (int c = count; c < kBlockRows; ++c) ZeroColumn({layout, block, c});
  }
  return largest;
}

float DequantizeGguf(const GgufSource& from, int64_t columns, int64_t row_begin, int64_t row_end, uint16_t* out) {
  const GgufType& type = *from.type;
  const int64_t blocks = columns / type.values;
  // The bits of a positive float grow with it, and those of a NaN are larger still.
  int32_t largest = 0;
  for (int64_t row = row_begin; row < row_end; ++row) {
    const uint8_t* const source = RowOf(from, row, blocks * type.bytes);
    for (int64_t i = 0; i < blocks; ++i) {
      GgufBlock block;
      type.decode(source + i * type.bytes, &block);
      for (int part = 0; part < type.values / type.group; ++part, out += type.group)
        largest = std::max(largest, DequantizeGroup(type, block, part, out));
    }
  }
  return LargerError(0, FloatOfBits(static_cast<uint32_t>(largest)));
}

}  // namespace llm
