// Products of activations with the weights of a linear layer: out[row][n] = sum over k of x[row][k] * w[n][k].
//
// Results are the same, bit for bit, for any split of the work into blocks and for any number of rows in a call:
// integer dot products are exact and every output has one fixed order of floating-point operations
// (kernels/matmul_kernels.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"
#include "packing/packed_layout.h"

namespace llm {

enum class Compute : uint8_t {
  kInt8,  // activations quantized to int8 as they come; dense weights have no integers and are computed as kF32
  kF32,   // exact weights, fp32 sums
  kF16,   // both factors rounded to fp16, sums of 32 products in fp16 and of those in fp32; as kF32 on other tables
  kBf16,  // both factors rounded to bf16, fp32 sums; as kF32 on tables without such instructions
};

struct Weight {
  WeightFormat format;
  int64_t rows, columns;  // outputs N, inputs K
  int32_t group;          // values of K under one scale; 0 for the whole row
  const uint8_t* data;    // packed: 64-byte aligned; dense: row-major [rows][columns]
};

constexpr int kDefaultSpan = 128;

int64_t WeightBytes(const Weight& weight);  // 0 if there is no such matrix
int Blocks(const Weight& weight);           // of 32 outputs, the last perhaps padded; dense formats too

// Activations are prepared once and read by every block. `span`: values of K under one activation scale, a multiple of
// 8; taken up to whole weight groups, or to a whole part of one. 0 means kDefaultSpan.
size_t PreparedBytes(Compute compute, const Weight& weight, int rows, int span);
// Whether what was prepared for one weight serves the other.
bool SharePreparation(Compute compute, const Weight& a, const Weight& b);
int PrepareUnits(int rows);  // independent units of the work below
void Prepare(const KernelTable& table, Compute compute, const Weight& weight, int span, const float* x, int64_t ldx,
             int rows, int unit_begin, int unit_end, uint8_t* prepared);

// For each thread, 64-byte aligned.
size_t MatmulScratchBytes(Compute compute, const Weight& weight, int rows);

// out[r * ldo + 32 * (block - block_begin) + c] for all rows. Writes whole blocks; padding columns come out as 0 (NaN
// in rows whose activations were not finite).
void MatmulBlocks(const KernelTable& table, Compute compute, const Weight& weight, int span, const float* x,
                  int64_t ldx, const uint8_t* prepared, int rows, int block_begin, int block_end, float* out,
                  int64_t ldo, uint8_t* scratch);

// Rows of the weight itself as fp32 [row_end - row_begin][columns]: embeddings, tests.
void DequantizeRows(const Weight& weight, int64_t row_begin, int64_t row_end, float* out);

}  // namespace llm
