#include "packing/fields.h"

#include "packing/packed_fields.h"

namespace llm {
namespace {

constexpr uint32_t kLowNibbles = 15 * kOnes;

int64_t StreamWords(int64_t count, int bits) { return (count * bits + 31) / 32; }

uint32_t Word(const FieldMatrix& fields, int64_t index) { return LoadWord(fields.words + 4 * index) + fields.added; }

// Of the fields of a word, that which holds row r % 8.
constexpr int kInterleavedField[8] = {0, 4, 1, 5, 2, 6, 3, 7};

struct Stream {
  int64_t first, step;
};

Stream StreamOf(const FieldMatrix& fields, int64_t row) {
  if (fields.order == FieldOrder::kDown) return {row, fields.rows};
  return {row * StreamWords(fields.columns, fields.bits), 1};
}

// 8 fields of a stream, from field 8 octet on.
uint64_t StreamOctet(const FieldMatrix& fields, Stream stream, int64_t octet) {
  const int64_t bit = 8 * octet * fields.bits;
  const int64_t word = stream.first + bit / 32 * stream.step;
  const int shift = static_cast<int>(bit % 32);
  uint64_t octet_bits = Word(fields, word);
  if (shift + 8 * fields.bits > 32) octet_bits |= static_cast<uint64_t>(Word(fields, word + stream.step)) << 32;
  return octet_bits >> shift;
}

// The nibbles of 16 bits, one in each byte.
LLM_INLINE uint32_t SpreadNibbles(uint32_t bits) {
  bits = (bits | bits << 8) & 0x00FF00FF;
  return (bits | bits << 4) & kLowNibbles;
}

LLM_INLINE uint32_t PairNibbles(uint32_t word) { return SpreadNibbles(word & 0xFFFF) | SpreadNibbles(word >> 16) << 4; }

// Four words as rows of a 4 x 4 matrix of bytes, turned around.
LLM_INLINE void TransposeBytes(uint32_t* w) {
  constexpr uint32_t kEven = 0x00FF00FF;
  const uint32_t a = (w[0] & kEven) | (w[1] & kEven) << 8, b = (w[0] >> 8 & kEven) | (w[1] & ~kEven);
  const uint32_t c = (w[2] & kEven) | (w[3] & kEven) << 8, d = (w[2] >> 8 & kEven) | (w[3] & ~kEven);
  w[0] = (a & 0xFFFF) | c << 16;
  w[1] = (b & 0xFFFF) | d << 16;
  w[2] = a >> 16 | (c & 0xFFFF0000);
  w[3] = b >> 16 | (d & 0xFFFF0000);
}

void LoadInterleaved(const FieldMatrix& fields, int64_t row, int count, int64_t octet, uint32_t* out) {
  const int64_t row_words = fields.rows / 8;
  const uint8_t* const first = fields.words + 4 * (8 * octet * row_words + row / 8);
  for (int part = 0; part < count / 8; ++part, out += 8) {
    uint32_t even[4], odd[4];
    for (int j = 0; j < 4; ++j) {
      const uint32_t near = LoadWord(first + 4 * (j * row_words + part)) + fields.added;
      const uint32_t far = LoadWord(first + 4 * ((4 + j) * row_words + part)) + fields.added;
      even[j] = (near & kLowNibbles) | (far & kLowNibbles) << 4;
      odd[j] = (near >> 4 & kLowNibbles) | (far & ~kLowNibbles);
    }
    TransposeBytes(even);
    TransposeBytes(odd);
    // Word b of `even` is field 2 b, of `odd` field 2 b + 1.
    for (int j = 0; j < 8; ++j) {
      const int field = kInterleavedField[j];
      out[j] = field % 2 == 0 ? even[field / 2] : odd[field / 2];
    }
  }
}

}  // namespace

int64_t FieldBytes(const FieldMatrix& fields) {
  const auto [order, bits, rows, columns, words, added] = fields;
  if (bits != 2 && bits != 3 && bits != 4 && bits != 8) return 0;
  if (order != FieldOrder::kInterleaved) return 4 * rows * StreamWords(columns, bits);
  return bits == 4 && rows % 8 == 0 ? columns * rows / 2 : 0;
}

uint32_t Field(const FieldMatrix& fields, int64_t row, int64_t column) {
  const uint32_t mask = (1u << fields.bits) - 1;
  if (fields.order == FieldOrder::kInterleaved)
    return Word(fields, column * (fields.rows / 8) + row / 8) >> 4 * kInterleavedField[row % 8] & mask;
  const Stream stream = StreamOf(fields, row);
  const int64_t bit = column * fields.bits;
  const int64_t word = stream.first + bit / 32 * stream.step;
  const int shift = static_cast<int>(bit % 32);
  uint32_t field = Word(fields, word) >> shift;
  if (shift + fields.bits > 32) field |= Word(fields, word + stream.step) << (32 - shift);
  return field & mask;
}

void LoadNibbles(const FieldMatrix& fields, int64_t row, int count, int64_t octet, uint32_t* out) {
  if (fields.order == FieldOrder::kInterleaved) {
    LoadInterleaved(fields, row, count, octet, out);
  } else if (fields.order == FieldOrder::kDown) {
    const uint8_t* const from = fields.words + 4 * (octet * fields.rows + row);
    for (int c = 0; c < count; ++c) out[c] = PairNibbles(LoadWord(from + 4 * c) + fields.added);
  } else {
    const int64_t words = StreamWords(fields.columns, 4);
    const uint8_t* const from = fields.words + 4 * (row * words + octet);
    for (int c = 0; c < count; ++c) out[c] = PairNibbles(LoadWord(from + 4 * words * c) + fields.added);
  }
}

void LoadOctet(const FieldMatrix& fields, int64_t row, int count, int64_t octet, uint32_t* low, uint32_t* high) {
  if (fields.bits == 4) {
    uint32_t pairs[kBlockRows];
    LoadNibbles(fields, row, count, octet, pairs);
    for (int c = 0; c < count; ++c) {
      low[c] = pairs[c] & kLowNibbles;
      high[c] = pairs[c] >> 4 & kLowNibbles;
    }
    return;
  }
  const uint32_t mask = (1u << fields.bits) - 1;
  for (int c = 0; c < count; ++c) {
    const uint64_t octet_bits = StreamOctet(fields, StreamOf(fields, row + c), octet);
    low[c] = high[c] = 0;
    for (int j = 0; j < 4; ++j) {
      low[c] |= static_cast<uint32_t>(octet_bits >> fields.bits * j & mask) << 8 * j;
      high[c] |= static_cast<uint32_t>(octet_bits >> fields.bits * (4 + j) & mask) << 8 * j;
    }
  }
}

}  // namespace llm
