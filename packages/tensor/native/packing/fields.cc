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

// Four words, `step` apart, as rows of a 4 x 4 matrix of bytes, turned around.
LLM_INLINE void TransposeBytes(uint32_t* w, int step) {
  constexpr uint32_t kEven = 0x00FF00FF;
  const uint32_t w0 = w[0], w1 = w[step], w2 = w[2 * step], w3 = w[3 * step];
  const uint32_t a = (w0 & kEven) | (w1 & kEven) << 8, b = (w0 >> 8 & kEven) | (w1 & ~kEven);
  const uint32_t c = (w2 & kEven) | (w3 & kEven) << 8, d = (w2 >> 8 & kEven) | (w3 & ~kEven);
  w[0] = (a & 0xFFFF) | c << 16;
  w[step] = (b & 0xFFFF) | d << 16;
  w[2 * step] = a >> 16 | (c & 0xFFFF0000);
  w[3 * step] = b >> 16 | (d & 0xFFFF0000);
}

void LoadInterleaved(const FieldMatrix& fields, int64_t row, int count, int64_t octet, uint32_t* out) {
  constexpr int kParts = kBlockRows / kOctet;  // words of a row of words that are taken apart side by side
  const int64_t row_words = fields.rows / 8;
  const uint8_t* const first = fields.words + 4 * (8 * octet * row_words + row / 8);
  const int parts = count / kOctet;
  uint32_t words[kOctet][kParts] = {};
  for (int j = 0; j < kOctet; ++j) {
    __builtin_prefetch(first + 4 * (kOctet + j) * row_words);
    const uint8_t* const from = first + 4 * j * row_words;
    if (parts == kParts) {
      std::memcpy(words[j], from, sizeof words[j]);
    } else {
      std::memcpy(words[j], from, static_cast<size_t>(4 * parts));
    }
  }
  uint32_t pairs[2][4][kParts];  // even and odd fields
  for (int j = 0; j < 4; ++j) {
    for (int part = 0; part < kParts; ++part) {
      const uint32_t near = words[j][part] + fields.added, far = words[4 + j][part] + fields.added;
      pairs[0][j][part] = (near & kLowNibbles) | (far & kLowNibbles) << 4;
      pairs[1][j][part] = (near >> 4 & kLowNibbles) | (far & ~kLowNibbles);
    }
  }
  for (auto& quad : pairs) {
    for (int part = 0; part < kParts; ++part) TransposeBytes(&quad[0][part], kParts);
  }
  // Word b of the even ones is field 2 b, of the odd ones field 2 b + 1.
  for (int part = 0; part < parts; ++part)
    for (int j = 0; j < kOctet; ++j)
      out[kOctet * part + j] = pairs[kInterleavedField[j] % 2][kInterleavedField[j] / 2][part];
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
    // The same rows of the next octet lie in another page.
    __builtin_prefetch(from + 4 * fields.rows);
    __builtin_prefetch(from + 4 * fields.rows + kLine);
    for (int c = 0; c < count; ++c) out[c] = PairNibbles(LoadWord(from + 4 * c) + fields.added);
  } else {
    const int64_t words = StreamWords(fields.columns, 4);
    const uint8_t* const from = fields.words + 4 * (row * words + octet);
    for (int c = 0; c < count; ++c) out[c] = LoadWord(from + 4 * words * c);
    for (int c = 0; c < count; ++c) out[c] = PairNibbles(out[c] + fields.added);
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
