// Single fields of a packed matrix: the layout as code. Baseline files only.
#pragma once

#include <cmath>
#include <cstring>

#include "kernels/half.h"
#include "packing/packed_layout.h"

namespace llm {

// One column (output) of one block.
struct PackedColumn {
  const PackedLayout& layout;
  uint8_t* block;
  int column;  // 0..31

  uint8_t* Group(int g) const { return block + GroupOffset(layout, layout.format, g); }
  int OctetsIn(int g) const { return g == layout.groups - 1 ? layout.tail_octets : layout.group_octets; }

  uint8_t* Octet(int g, int octet) const {
    return Group(g) + ScaleBytes(layout.format) + octet * OctetBytes(layout.format);
  }

  void Half(int g, int line, float value) const {
    const uint16_t half = FloatToHalf(value);
    std::memcpy(Group(g) + line * kLine + 2 * column, &half, sizeof half);
  }
  float Half(int g, int line) const {
    uint16_t half;
    std::memcpy(&half, Group(g) + line * kLine + 2 * column, sizeof half);
    return HalfToFloat(half);
  }

  uint8_t* Nibble(int g, int line) const {
    return block + MetaOffset(layout, layout.format, g) + line * kLine + 4 * (column % 16) + g % kMetaPeriod;
  }
  int NibbleValue(int g, int line) const { return *Nibble(g, line) >> (column < 16 ? 0 : 4) & 15; }
  void NibbleValue(int g, int line, int value) const {
    uint8_t* byte = Nibble(g, line);
    *byte = static_cast<uint8_t>(column < 16 ? (*byte & 0xF0) | value : (*byte & 0x0F) | value << 4);
  }

  float ColumnScale() const {
    float scale;
    std::memcpy(&scale, block + 4 * column, sizeof scale);
    return scale;
  }
  void ColumnScale(float scale) const { std::memcpy(block + 4 * column, &scale, sizeof scale); }

  int Multiplier(int g) const { return NibbleValue(g, 0) + 1; }
  int ZeroPoint(int g) const { return NibbleValue(g, MetaLines(layout.format) - 1); }
  float Scale(int g) const {
    return IsTwoLevel(layout.format) ? ColumnScale() * static_cast<float>(Multiplier(g)) : Half(g, 0);
  }
};

// Of differences between stored and packed weights; NaN counts as infinitely far.
inline float LargerError(float largest, float error) {
  if (error <= largest) return largest;
  return std::isnan(error) ? INFINITY : error;
}

// Codes are moved as two words of four bytes: k = 0..3 of an octet in `low`, k = 4..7 in `high`.
constexpr uint32_t kOnes = 0x01010101;
constexpr int kQuadBytes = 4 * kBlockRows;  // 8 bits: from k = j to k = 4 + j

LLM_INLINE uint32_t LoadWord(const uint8_t* from) {
  uint32_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

// The fields of other columns, which share bytes, are left alone; those of this one must be 0.
LLM_INLINE void AddWord(uint8_t* to, uint32_t bits) {
  bits |= LoadWord(to);
  std::memcpy(to, &bits, sizeof bits);
}

// Where a column's bits begin in the shared bytes of formats with 2 and 3 bits.
LLM_INLINE int PairShift(int column) { return column / 16 * 4; }
LLM_INLINE int ThirdBitShift(int column) { return column / 16 * 2 + column % 16 / 8 * 4; }

LLM_INLINE void WriteOctet(WeightFormat format, uint8_t* octet, int column, uint32_t low, uint32_t high) {
  switch (CodeBits(format)) {
    case 8:
      AddWord(octet + 4 * column, low);
      AddWord(octet + kQuadBytes + 4 * column, high);
      break;
    case 4:
      AddWord(octet + 4 * column, low | high << 4);
      break;
    default:
      AddWord(octet + 4 * (column % 16), ((low & 3 * kOnes) | (high & 3 * kOnes) << 2) << PairShift(column));
      if (CodeBits(format) == 3)
        AddWord(octet + kLine + 4 * (column % 8), ((low >> 2 & kOnes) | (high >> 2 & kOnes) << 1)
                                                      << ThirdBitShift(column));
  }
}

LLM_INLINE void ReadOctet(WeightFormat format, const uint8_t* octet, int column, uint32_t* low, uint32_t* high) {
  switch (CodeBits(format)) {
    case 8:
      *low = LoadWord(octet + 4 * column);
      *high = LoadWord(octet + kQuadBytes + 4 * column);
      break;
    case 4:
      *low = LoadWord(octet + 4 * column) & 15 * kOnes;
      *high = LoadWord(octet + 4 * column) >> 4 & 15 * kOnes;
      break;
    default:
      const uint32_t pairs = LoadWord(octet + 4 * (column % 16)) >> PairShift(column);
      *low = pairs & 3 * kOnes;
      *high = pairs >> 2 & 3 * kOnes;
      if (CodeBits(format) == 3) {
        const uint32_t third = LoadWord(octet + kLine + 4 * (column % 8)) >> ThirdBitShift(column);
        *low |= (third & kOnes) << 2;
        *high |= (third >> 1 & kOnes) << 2;
      }
  }
}

}  // namespace llm
