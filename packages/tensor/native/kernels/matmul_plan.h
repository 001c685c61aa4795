// How a product is laid out in work and memory, for the files around kernels/matmul.cc.
#pragma once

#include "kernels/matmul.h"
#include "kernels/matmul_kernels.h"

namespace llm {

// Of a valid packed weight.
PackedLayout LayoutOf(const Weight& weight);

SegmentPlan PlanSegments(const PackedLayout& layout, int span);

// Rows are taken in equal chunks of at most kChunkRows (int8) or kFloatChunkRows. Chunk i starts here.
LLM_INLINE int FirstRow(int chunk, int chunks, int rows) {
  return static_cast<int>(static_cast<int64_t>(rows) * chunk / chunks);
}
LLM_INLINE int Int8Chunks(int rows) { return (rows + kChunkRows - 1) / kChunkRows; }
LLM_INLINE int FloatChunks(int rows) { return (rows + kFloatChunkRows - 1) / kFloatChunkRows; }

// Where a chunk lies in the prepared bytes: quants, then bases, then scales, each for all its rows.
struct Int8ChunkLayout {
  int64_t octets, segments, spans, row_bytes;

  Int8ChunkLayout(const PackedLayout& layout, const SegmentPlan& plan);
  PreparedRows At(const uint8_t* prepared, int first_row, int rows) const;
};

// All loops over the blocks of a weight.
struct BlockLoop {
  const KernelTable& table;
  const Weight& weight;
  const uint8_t* prepared;
  int rows;
  int block_begin, block_end;
  float* out;
  int64_t ldo;
  uint8_t* scratch;

  float* Out(int block, int row) const {
    return out + row * ldo + static_cast<int64_t>(block - block_begin) * kBlockRows;
  }
};

// Codes are decoded in registers, again for every chunk of rows; a block stays in L2 meanwhile.
void MultiplyRows(const BlockLoop& loop, int span);
size_t WideQuantsBytes(const Weight& weight, int rows);  // of scratch, where a table widens quants

// Codes are decoded to bytes once for all rows, into scratch that stays in the caches: at most so many values of K at a
// time, which must be at least a span.
constexpr int kCodePanelColumns = 1024;
void MultiplyCodePanels(const BlockLoop& loop, int span);
size_t CodePanelBytes(const Weight& weight);

// Dense rows, a few rows of x at once; a last block that is not whole goes through a panel.
void MultiplyDenseRows(const BlockLoop& loop, bool bf16);

// The same in fp32, and rounded to bf16 or fp16.
void MultiplyFloatPanels(const BlockLoop& loop);
void MultiplyBf16Panels(const BlockLoop& loop);
void MultiplyF16Panels(const BlockLoop& loop);

// In tile registers: int8 and bf16. Their rows of x lie one after another.
void MultiplyInt8Tiles(const BlockLoop& loop, int span);
void MultiplyBf16Tiles(const BlockLoop& loop);
int64_t Bf16TileStride(int64_t columns);  // values from one row to the next
constexpr int kTilePadding = 64;          // bytes of k that tiles may read beyond the end

constexpr size_t kFloatPanelBytes = sizeof(float) * kPanelColumns * kBlockRows;
constexpr size_t kBf16PanelBytes = kFloatPanelBytes / 2;

int64_t ElementBytes(WeightFormat format);  // of dense formats

}  // namespace llm
