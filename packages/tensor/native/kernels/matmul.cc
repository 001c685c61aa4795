#include "kernels/matmul.h"

#include <algorithm>
#include <cstring>

#include "kernels/half.h"
#include "kernels/matmul_kernels.h"
#include "packing/codes.h"

namespace llm {
namespace {

constexpr int64_t kMaxDense = int64_t{1} << 40;

int64_t ElementBytes(WeightFormat format) { return format == WeightFormat::kF32 ? 4 : 2; }

Compute Effective(Compute compute, const Weight& weight) {
  return compute == Compute::kInt8 && IsPacked(weight.format) ? Compute::kInt8 : Compute::kF32;
}

PackedLayout LayoutOf(const Weight& weight) {
  PackedLayout layout = {};
  MakePackedLayout(weight.format, weight.rows, weight.columns, weight.group, &layout);
  return layout;
}

SegmentPlan PlanSegments(const PackedLayout& layout, int span) {
  const int octets = (layout.groups - 1) * layout.group_octets + layout.tail_octets;
  int span_octets = std::max(1, (span > 0 ? span : kDefaultSpan) / kOctet);
  const int group = layout.group_octets;
  SegmentPlan plan = {};
  if (span_octets >= group) {
    plan.octets = group;
    plan.per_group = 1;
    plan.per_span = span_octets / group;
  } else {
    // A group that is no whole number of spans gets one span for itself, unless it is the only group.
    plan.octets = layout.groups == 1 || group % span_octets == 0 ? span_octets : group;
    plan.per_group = (group + plan.octets - 1) / plan.octets;
    plan.per_span = 1;
  }
  plan.segments = (octets + plan.octets - 1) / plan.octets;
  plan.tail_octets = octets - (plan.segments - 1) * plan.octets;
  return plan;
}

// A chunk's place in the prepared bytes: quants, then bases, then scales, each for all its rows.
struct ChunkLayout {
  int64_t octets, segments, spans, row_bytes;

  ChunkLayout(const PackedLayout& layout, const SegmentPlan& plan)
      : octets(static_cast<int64_t>(layout.groups - 1) * layout.group_octets + layout.tail_octets),
        segments(plan.segments),
        spans((plan.segments + plan.per_span - 1) / plan.per_span),
        row_bytes((octets * kOctet + 4 * (segments + spans) + kLine - 1) / kLine * kLine) {}

  PreparedRows At(const uint8_t* prepared, int first_row, int rows) const {
    const uint8_t* chunk = prepared + first_row * row_bytes;
    const uint8_t* base = chunk + rows * octets * kOctet;
    return {rows, reinterpret_cast<const int8_t*>(chunk), reinterpret_cast<const int32_t*>(base),
            reinterpret_cast<const float*>(base + 4 * rows * segments)};
  }
};

int FirstRow(int chunk, int rows) {
  const int chunks = PrepareUnits(rows);
  return static_cast<int>(static_cast<int64_t>(rows) * chunk / chunks);
}

void MultiplyInt8(const MatmulKernels& kernels, const Weight& weight, int span, const uint8_t* prepared, int rows,
                  int block_begin, int block_end, float* out, int64_t ldo) {
  const PackedLayout layout = LayoutOf(weight);
  const SegmentPlan plan = PlanSegments(layout, span);
  const ChunkLayout chunks(layout, plan);
  const auto& kernel = kernels.rows[PackedIndex(weight.format)];
  for (int block = block_begin; block < block_end; ++block) {
    const uint8_t* data = weight.data + block * layout.block_bytes;
    for (int chunk = 0; chunk < PrepareUnits(rows); ++chunk) {
      const int row = FirstRow(chunk, rows), count = FirstRow(chunk + 1, rows) - row;
      kernel[count - 1](data, plan, chunks.At(prepared, row, count),
                        out + row * ldo + static_cast<int64_t>(block - block_begin) * kBlockRows, ldo);
    }
  }
}

void MultiplyFloat(const MatmulKernels& kernels, const Weight& weight, const float* x, int64_t ldx, int rows,
                   int block_begin, int block_end, float* out, int64_t ldo, float* panel) {
  const bool packed = IsPacked(weight.format);
  const PackedLayout layout = packed ? LayoutOf(weight) : PackedLayout{};
  const int columns = static_cast<int>(weight.columns);
  for (int block = block_begin; block < block_end; ++block) {
    float* to = out + static_cast<int64_t>(block - block_begin) * kBlockRows;
    for (int k = 0; k < columns; k += kPanelColumns) {
      const int end = std::min(columns, k + kPanelColumns);
      if (packed) {
        kernels.unpack[PackedIndex(weight.format)](layout, weight.data + block * layout.block_bytes, k, end, panel);
      } else {
        const int64_t row = static_cast<int64_t>(block) * kBlockRows;
        const int64_t bytes = ElementBytes(weight.format);
        const int count = static_cast<int>(std::min<int64_t>(kBlockRows, weight.rows - row));
        kernels.unpack_dense[static_cast<int>(weight.format)](weight.data + (row * weight.columns + k) * bytes,
                                                              weight.columns, count, end - k, panel);
      }
      kernels.multiply_float(x + k, ldx, rows, panel, end - k, k == 0, to, ldo);
    }
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
  if (Effective(compute, weight) != Compute::kInt8) return 0;
  const PackedLayout layout = LayoutOf(weight);
  return static_cast<size_t>(ChunkLayout(layout, PlanSegments(layout, span)).row_bytes) * rows;
}

bool SharePreparation(Compute compute, const Weight& a, const Weight& b) {
  const bool quantized = Effective(compute, a) == Compute::kInt8;
  if (quantized != (Effective(compute, b) == Compute::kInt8) || a.columns != b.columns) return false;
  if (!quantized) return true;
  return LayoutOf(a).group_octets == LayoutOf(b).group_octets && BaseFactor(a.format) == BaseFactor(b.format);
}

int PrepareUnits(int rows) { return (rows + kChunkRows - 1) / kChunkRows; }

void Prepare(const KernelTable& table, Compute compute, const Weight& weight, int span, const float* x, int64_t ldx,
             int rows, int unit_begin, int unit_end, uint8_t* prepared) {
  if (Effective(compute, weight) != Compute::kInt8) return;
  const PackedLayout layout = LayoutOf(weight);
  const SegmentPlan plan = PlanSegments(layout, span);
  const ChunkLayout chunks(layout, plan);
  for (int unit = unit_begin; unit < unit_end; ++unit) {
    const int row = FirstRow(unit, rows), count = FirstRow(unit + 1, rows) - row;
    const PreparedRows to = chunks.At(prepared, row, count);
    table.matmul->quantize(x + row * ldx, ldx, count, static_cast<int>(weight.columns), plan, BaseFactor(weight.format),
                           const_cast<int8_t*>(to.quants), const_cast<int32_t*>(to.base), const_cast<float*>(to.scale));
  }
}

size_t MatmulScratchBytes(Compute compute, const Weight& weight, int) {
  return Effective(compute, weight) == Compute::kInt8 ? 0 : sizeof(float) * kPanelColumns * kBlockRows;
}

void MatmulBlocks(const KernelTable& table, Compute compute, const Weight& weight, int span, const float* x,
                  int64_t ldx, const uint8_t* prepared, int rows, int block_begin, int block_end, float* out,
                  int64_t ldo, uint8_t* scratch) {
  if (Effective(compute, weight) == Compute::kInt8)
    MultiplyInt8(*table.matmul, weight, span, prepared, rows, block_begin, block_end, out, ldo);
  else
    MultiplyFloat(*table.matmul, weight, x, ldx, rows, block_begin, block_end, out, ldo,
                  reinterpret_cast<float*>(scratch));
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
