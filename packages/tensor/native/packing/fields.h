// Matrices of bit fields in 32-bit words, as other quantizers store codes and zero points. Lowest bits first.
#pragma once

#include <cstdint>

namespace llm {

enum class FieldOrder : uint8_t {
  kDown,         // word w of a row's stream of fields is word w * rows + row: GPTQ's codes
  kAcross,       // word w of a row's stream is word row * words + w: GPTQ's zero points, compressed-tensors' codes
  kInterleaved,  // word (column, row / 8), 4 bits, rows in the order 0 2 4 6 1 3 5 7: AWQ's "gemm"
};
constexpr int kFieldOrders = 3;

struct FieldMatrix {
  FieldOrder order;
  int bits;  // 2, 3, 4 or 8
  int64_t rows, columns;
  const uint8_t* words;  // at any address
  uint32_t added;        // to every word, before it is taken apart
};

// The bytes that the words take; 0 if there is no such matrix.
int64_t FieldBytes(const FieldMatrix& fields);

uint32_t Field(const FieldMatrix& fields, int64_t row, int64_t column);

// The fields of columns 8 octet .. 8 octet + 7, all of them there, of rows row .. row + count - 1, one byte each: the
// first four of every row in low, the others in high. count <= 32; row and count are multiples of 8 if interleaved.
void LoadOctet(const FieldMatrix& fields, int64_t row, int count, int64_t octet, uint32_t* low, uint32_t* high);

// The same as 4-bit fields of one word for each row: field j and field 4 + j in byte j. For 4 bits.
void LoadNibbles(const FieldMatrix& fields, int64_t row, int count, int64_t octet, uint32_t* out);

}  // namespace llm
