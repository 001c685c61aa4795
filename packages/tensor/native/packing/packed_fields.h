// Single fields of a packed matrix: the layout as code. Baseline files only.
#pragma once

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

  // The first of an octet's bytes: four, each with k = j and k = 4 + j; for 8 bits four with k = j.
  uint8_t* Octet(int g, int octet) const {
    return Group(g) + ScaleBytes(layout.format) + octet * OctetBytes(layout.format) + 4 * column;
  }
  static constexpr int kQuadBytes = 4 * kBlockRows;  // 8 bits: from k = j to k = 4 + j

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

// The four codes k = 0..3 of an octet in the bytes of `low`, k = 4..7 in those of `high`.
LLM_INLINE void WriteOctet(WeightFormat format, uint8_t* to, uint32_t low, uint32_t high) {
  if (CodeBits(format) == 8) {
    std::memcpy(to, &low, 4);
    std::memcpy(to + PackedColumn::kQuadBytes, &high, 4);
  } else {
    const uint32_t both = low | high << 4;
    std::memcpy(to, &both, 4);
  }
}

LLM_INLINE void ReadOctet(WeightFormat format, const uint8_t* from, uint32_t* low, uint32_t* high) {
  std::memcpy(low, from, 4);
  if (CodeBits(format) == 8) {
    std::memcpy(high, from + PackedColumn::kQuadBytes, 4);
  } else {
    *high = *low >> 4 & 0x0F0F0F0F;
    *low &= 0x0F0F0F0F;
  }
}

}  // namespace llm
