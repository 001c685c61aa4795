// P32x8: one packed layout for low-bit weights, shared by every instruction set, on disk as in memory.
// docs/formats/packed.md has it byte for byte.
//
//   matrix = ceil(rows / 32) blocks of 32 outputs ("columns" of a block), each contiguous over K (one memory stream)
//   block  = [column scales: 32 fp32] groups...       two-level formats only
//   group  = [metadata lines] [scales] [minima] octets
//   octet  = 8 values of k for 32 columns. 4 bits: 2 lines of 64 bytes, line v for columns 16v..16v+15; byte 4c+j has
//            k = j in the low nibble and k = 4+j in the high one. 8 bits: 2 quads of 2 lines; byte 4c+j has k = j.
//            2 bits: one line; byte 4c+j has, from its lowest bits on, k = j and 4+j of column c, then those of column
//            16+c. 3 bits: such a line, and 32 bytes with the third bits: byte 4c+j has in bits 0..3 those of the same
//            four codes of columns c and 16+c, in bits 4..7 those of columns 8+c and 24+c. Groups are padded to lines.
//
// So a line masked with 0x0F, and shifted by 4, gives two consecutive k-quads of the same 16 columns: the operand of
// vpdpbusd (zmm, or two ymm halves), of an AMX B tile row and of sdot by lane. Codes are unsigned.
#pragma once

#include <cstdint>

#include "kernels/inline.h"

namespace llm {

// Rows are outputs N, columns inputs K, as in a model's linear layer.
//   format    w =                        scale and zero point
//   kSym4     s (q - 8)                  fp16 per group
//   kAsym4    s (q - z)                  fp16 per group, z of 4 bits
//   kMin4     s q + m                    fp16 and fp16 per group
//   kTwo4     S (1 + u) (q - 8)          S fp32 per output, u of 4 bits per group
//   kTwo4Asym S (1 + u) (q - z)          the same, z of 4 bits
//   kInt8     s (q - 128)                fp16 per group
//   kSym2     s (q - 2), kAsym2 s (q - z), kSym3 s (q - 4), kAsym3 s (q - z): as with 4 bits
enum class WeightFormat : uint8_t {
  kF32,
  kF16,
  kBf16,
  kSym4,
  kAsym4,
  kMin4,
  kTwo4,
  kTwo4Asym,
  kInt8,
  kSym2,
  kAsym2,
  kSym3,
  kAsym3
};

constexpr int kBlockRows = 32;  // outputs of one block
constexpr int kOctet = 8;
constexpr int kLine = 64;

constexpr int kFirstPacked = static_cast<int>(WeightFormat::kSym4);
constexpr int kPackedFormats = static_cast<int>(WeightFormat::kAsym3) - kFirstPacked + 1;

LLM_INLINE constexpr bool IsPacked(WeightFormat f) { return f >= WeightFormat::kSym4; }
LLM_INLINE constexpr int PackedIndex(WeightFormat f) { return static_cast<int>(f) - kFirstPacked; }
LLM_INLINE constexpr bool IsTwoLevel(WeightFormat f) {
  return f == WeightFormat::kTwo4 || f == WeightFormat::kTwo4Asym;
}
LLM_INLINE constexpr bool HasZeroPoints(WeightFormat f) {
  return f == WeightFormat::kAsym4 || f == WeightFormat::kTwo4Asym || f == WeightFormat::kAsym2 ||
         f == WeightFormat::kAsym3;
}
LLM_INLINE constexpr bool HasMinima(WeightFormat f) { return f == WeightFormat::kMin4; }
LLM_INLINE constexpr int CodeBits(WeightFormat f) {
  if (f == WeightFormat::kInt8) return 8;
  if (f == WeightFormat::kSym2 || f == WeightFormat::kAsym2) return 2;
  return f == WeightFormat::kSym3 || f == WeightFormat::kAsym3 ? 3 : 4;
}
// The code of weight 0 where it is the same everywhere.
LLM_INLINE constexpr int FixedZero(WeightFormat f) {
  return HasZeroPoints(f) || HasMinima(f) ? 0 : 1 << (CodeBits(f) - 1);
}

// Lines of 4-bit fields in front of every 4 groups: multipliers, then zero points. Dword c holds columns c (low
// nibbles) and 16 + c (high nibbles); its byte g % 4 is group g's.
constexpr int kMetaPeriod = 4;
LLM_INLINE constexpr int MetaLines(WeightFormat f) { return (IsTwoLevel(f) ? 1 : 0) + (HasZeroPoints(f) ? 1 : 0); }
// Bytes in front of the octets of each group: fp16 scales of 32 columns, then fp16 minima.
LLM_INLINE constexpr int ScaleBytes(WeightFormat f) { return IsTwoLevel(f) ? 0 : HasMinima(f) ? 2 * kLine : kLine; }
LLM_INLINE constexpr int HeaderBytes(WeightFormat f) { return IsTwoLevel(f) ? 2 * kLine : 0; }
LLM_INLINE constexpr int OctetBytes(WeightFormat f) { return CodeBits(f) * kBlockRows; }
// Whether octets of a group may end in the middle of a line.
LLM_INLINE constexpr bool HasPadding(WeightFormat f) { return OctetBytes(f) % kLine != 0; }
LLM_INLINE const uint8_t* NextLine(const uint8_t* p) {
  return reinterpret_cast<const uint8_t*>((reinterpret_cast<uintptr_t>(p) + kLine - 1) / kLine * kLine);
}

struct PackedLayout {
  WeightFormat format;
  int64_t rows, columns;
  int64_t blocks;
  int groups;
  int group_octets;     // of every group but the last
  int tail_octets;      // of the last group
  int64_t group_bytes;  // scales and octets of a whole group
  int64_t block_bytes;

  int64_t Bytes() const;
};

// Offset of group g inside its block, past its metadata lines: at the scales, if any, else the octets.
LLM_INLINE int64_t GroupOffset(const PackedLayout& layout, WeightFormat format, int g) {
  const int64_t lines = MetaLines(format) == 0 ? 0 : static_cast<int64_t>(g / kMetaPeriod + 1) * MetaLines(format);
  return HeaderBytes(format) + lines * kLine + g * layout.group_bytes;
}

// Offset of the metadata lines that serve group g.
LLM_INLINE int64_t MetaOffset(const PackedLayout& layout, WeightFormat format, int g) {
  return GroupOffset(layout, format, g / kMetaPeriod * kMetaPeriod) - MetaLines(format) * kLine;
}

// `group`: values of K under one scale, a multiple of 8; 0, or anything from `columns` up, is the whole row.
// False if there is no such matrix.
bool MakePackedLayout(WeightFormat format, int64_t rows, int64_t columns, int64_t group, PackedLayout* layout);

}  // namespace llm
