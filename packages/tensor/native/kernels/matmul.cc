#include "kernels/matmul.h"

#include <algorithm>
#include <cstring>

#include "kernels/bf16_kernels.h"
#include "kernels/f16_kernels.h"
#include "kernels/half.h"
#include "kernels/matmul_plan.h"
#include "kernels/select_matmul.h"
#include "kernels/tile_kernels.h"
#include "packing/codes.h"

namespace llm {
namespace {

constexpr int64_t kMaxDense = int64_t{1} << 40;

bool IsQuantized(Compute compute, const Weight& weight) { return compute == Compute::kInt8 && IsPacked(weight.format); }

// Rows that one unit of preparation takes: whole chunks of both kinds.
constexpr int kUnitRows = kFloatChunkRows;
static_assert(kFloatChunkRows % kChunkRows == 0);

void PrepareInt8(const MatmulKernels& kernels, const Weight& weight, int span, const float* x, int64_t ldx, int rows,
                 int unit_begin, int unit_end, uint8_t* prepared) {
  const PackedLayout layout = LayoutOf(weight);
  const SegmentPlan plan = PlanSegments(layout, span);
  const Int8ChunkLayout place(layout, plan);
  const int chunks = Int8Chunks(rows), units = PrepareUnits(rows);
  for (int chunk = FirstRow(unit_begin, units, chunks); chunk < FirstRow(unit_end, units, chunks); ++chunk) {
    const int row = FirstRow(chunk, chunks, rows), count = FirstRow(chunk + 1, chunks, rows) - row;
    const PreparedRows to = place.At(prepared, row, count);
    kernels.quantize(x + row * ldx, ldx, count, static_cast<int>(weight.columns), plan, BaseFactor(weight.format),
                     const_cast<int8_t*>(to.quants), const_cast<int32_t*>(to.base), const_cast<float*>(to.scale));
  }
}

// Rows one after another, each as a chunk of its own.
void PrepareTileRows(const KernelTable& table, Compute compute, const Weight& weight, int span, const float* x,
                     int64_t ldx, int row_begin, int row_end, uint8_t* prepared) {
  const int columns = static_cast<int>(weight.columns);
  if (compute == Compute::kBf16) {
    const int64_t stride = Bf16TileStride(weight.columns);
    table.tiles->pack_bf16(x + row_begin * ldx, ldx, row_end - row_begin, columns, stride,
                           reinterpret_cast<uint16_t*>(prepared) + row_begin * stride);
    return;
  }
  const PackedLayout layout = LayoutOf(weight);
  const SegmentPlan plan = PlanSegments(layout, span);
  const Int8ChunkLayout place(layout, plan);
  for (int row = row_begin; row < row_end; ++row) {
    const PreparedRows to = place.At(prepared, row, 1);
    table.matmul->quantize(x + row * ldx, ldx, 1, columns, plan, BaseFactor(weight.format),
                           const_cast<int8_t*>(to.quants), const_cast<int32_t*>(to.base), const_cast<float*>(to.scale));
  }
}

// Chunks of [k][rows], so that a kernel reads one stream; bf16 in pairs of k.
void PrepareFloat(const Bf16Kernels* bf16, const F16Kernels* f16, const float* x, int64_t ldx, int64_t columns,
                  int rows, int unit_begin, int unit_end, uint8_t* prepared) {
  const int chunks = FloatChunks(rows);
  for (int chunk = unit_begin; chunk < unit_end; ++chunk) {
    const int row = FirstRow(chunk, chunks, rows), count = FirstRow(chunk + 1, chunks, rows) - row;
    const float* from = x + row * ldx;
    if (bf16 != nullptr) {
      const int64_t padded = (columns + 1) / 2 * 2;
      bf16->pack(from, ldx, count, static_cast<int>(columns), reinterpret_cast<uint16_t*>(prepared) + row * padded);
      continue;
    }
    if (f16 != nullptr) {
      f16->pack(from, ldx, count, static_cast<int>(columns), reinterpret_cast<uint16_t*>(prepared) + row * columns);
      continue;
    }
    float* to = reinterpret_cast<float*>(prepared) + row * columns;
    for (int r = 0; r < count; ++r)
      for (int64_t k = 0; k < columns; ++k) to[k * count + r] = from[r * ldx + k];
  }
}

}  // namespace

int64_t WeightBytes(const Weight& weight) {
  if (weight.rows <= 0 || weight.columns <= 0) return 0;
  if (!IsPacked(weight.format)) {
    if (weight.rows > kMaxDense / weight.columns) return 0;
    return weight.rows * weight.columns * ElementBytes(weight.format);
  }
  PackedLayout layout;
  return MakePackedLayout(weight.format, weight.rows, weight.columns, weight.group, &layout) ? layout.Bytes() : 0;
}

int Blocks(const Weight& weight) { return static_cast<int>((weight.rows + kBlockRows - 1) / kBlockRows); }

size_t PreparedBytes(Compute compute, const Weight& weight, int rows, int span) {
  if (!IsQuantized(compute, weight)) {
    const int64_t padded = Bf16TileStride(weight.columns);  // fp32, or bf16 with padding
    return (sizeof(float) * padded * rows + kLine - 1) / kLine * kLine;
  }
  const PackedLayout layout = LayoutOf(weight);
  return static_cast<size_t>(Int8ChunkLayout(layout, PlanSegments(layout, span)).row_bytes) * rows;
}

bool SharePreparation(Compute compute, const Weight& a, const Weight& b) {
  const bool quantized = IsQuantized(compute, a);
  if (quantized != IsQuantized(compute, b) || a.columns != b.columns) return false;
  if (!quantized) return true;
  return LayoutOf(a).group_octets == LayoutOf(b).group_octets && BaseFactor(a.format) == BaseFactor(b.format);
}

int PrepareUnits(int rows) { return (rows + kUnitRows - 1) / kUnitRows; }

void Prepare(const KernelTable& table, Compute compute, const Weight& weight, int span, const float* x, int64_t ldx,
             int rows, int unit_begin, int unit_end, uint8_t* prepared) {
  if (UsesTiles(SelectMatmul(table, compute, weight, span, rows).path)) {
    const int units = PrepareUnits(rows);
    PrepareTileRows(table, compute, weight, span, x, ldx, FirstRow(unit_begin, units, rows),
                    FirstRow(unit_end, units, rows), prepared);
  } else if (IsQuantized(compute, weight)) {
    PrepareInt8(*table.matmul, weight, span, x, ldx, rows, unit_begin, unit_end, prepared);
  } else {
    const Bf16Kernels* bf16 = compute == Compute::kBf16 ? table.bf16 : nullptr;
    const F16Kernels* f16 = compute == Compute::kF16 ? table.f16 : nullptr;
    PrepareFloat(bf16, f16, x, ldx, weight.columns, rows, unit_begin, unit_end, prepared);
  }
}

size_t MatmulScratchBytes(Compute compute, const Weight& weight, int rows) {
  return IsQuantized(compute, weight) ? std::max(CodePanelBytes(weight), WideQuantsBytes(weight, rows))
                                      : kFloatPanelBytes + kBf16PanelBytes;
}

void MatmulBlocks(const KernelTable& table, Compute compute, const Weight& weight, int span, const float*, int64_t,
                  const uint8_t* prepared, int rows, int block_begin, int block_end, float* out, int64_t ldo,
                  uint8_t* scratch) {
  const BlockLoop loop = {table, weight, prepared, rows, block_begin, block_end, out, ldo, scratch};
  switch (SelectMatmul(table, compute, weight, span, rows).path) {
    case MatmulPath::kRows:
      return MultiplyRows(loop, span);
    case MatmulPath::kPanel:
      return MultiplyCodePanels(loop, span);
    case MatmulPath::kStream:
      return MultiplyDenseRows(loop, compute == Compute::kBf16);
    case MatmulPath::kFloat:
      return MultiplyFloatPanels(loop);
    case MatmulPath::kBf16:
      return MultiplyBf16Panels(loop);
    case MatmulPath::kF16:
      return MultiplyF16Panels(loop);
    case MatmulPath::kTiles:
      return MultiplyInt8Tiles(loop, span);
    case MatmulPath::kBf16Tiles:
      return MultiplyBf16Tiles(loop);
  }
}

void DequantizeRows(const Weight& weight, int64_t row_begin, int64_t row_end, float* out) {
  if (IsPacked(weight.format)) {
    DequantizePacked(LayoutOf(weight), weight.data, row_begin, row_end, out);
    return;
  }
  const int64_t begin = row_begin * weight.columns, count = (row_end - row_begin) * weight.columns;
  const uint8_t* from = weight.data + begin * ElementBytes(weight.format);
  if (weight.format == WeightFormat::kF32) {
    std::memcpy(out, from, static_cast<size_t>(count) * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    uint16_t value;
    std::memcpy(&value, from + 2 * i, sizeof value);
    out[i] = weight.format == WeightFormat::kF16 ? HalfToFloat(value) : Bf16ToFloat(value);
  }
}

}  // namespace llm
