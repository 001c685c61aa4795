#include <algorithm>

#include "kernels/bf16_kernels.h"
#include "kernels/f16_kernels.h"
#include "kernels/matmul_plan.h"
#include "kernels/tile_kernels.h"

namespace llm {
namespace {

// Segments of a panel: whole spans, so that no sum is cut.
int PanelSegments(const SegmentPlan& plan) {
  const int spans = kCodePanelColumns / (plan.per_span * plan.octets * kOctet);
  return std::min(plan.segments, spans * plan.per_span);
}

int64_t PanelCodes(const PackedLayout& layout) {
  const int64_t columns = (layout.columns + kOctet - 1) / kOctet * kOctet;
  return std::min<int64_t>(columns, kCodePanelColumns) * kBlockRows;
}

// Floats of the scales of the groups that a panel can touch.
int64_t PanelScales(const PackedLayout& layout) {
  const int64_t groups = std::min(layout.groups, kCodePanelColumns / kOctet / layout.group_octets + 2);
  return groups * kBlockRows;
}

CodePanel PlacePanel(uint8_t* scratch, const PackedLayout& layout) {
  CodePanel panel = {};
  panel.codes = scratch;
  panel.scale = reinterpret_cast<float*>(scratch + PanelCodes(layout) + int64_t{kTilePadding} * kBlockRows);
  panel.minimum = panel.scale + PanelScales(layout);
  return panel;
}

// Calls work(first row, count) for every chunk.
template <class Work>
void ForChunks(int rows, int chunks, const Work& work) {
  for (int chunk = 0; chunk < chunks; ++chunk) {
    const int row = FirstRow(chunk, chunks, rows);
    work(row, FirstRow(chunk + 1, chunks, rows) - row);
  }
}

// Weights k .. k + columns - 1 of a block, as fp32 [columns][32].
struct FloatPanel {
  int block, k, columns;
  const float* values;
};

// Calls work(panel) for every panel of every block.
template <class Work>
void ForFloatPanels(const BlockLoop& loop, const Work& work) {
  const Weight& weight = loop.weight;
  const bool packed = IsPacked(weight.format);
  const PackedLayout layout = packed ? LayoutOf(weight) : PackedLayout{};
  const int columns = static_cast<int>(weight.columns);
  auto* const panel = reinterpret_cast<float*>(loop.scratch);
  // Many rows: their sums do not stay in the caches from one panel to the next. Few: a short panel stays in the first.
  constexpr int kManyRows = 4 * kFloatChunkRows;
  const int step = loop.rows >= kManyRows ? kPanelColumns : kPanelColumns / 2;
  for (int block = loop.block_begin; block < loop.block_end; ++block)
    for (int k = 0; k < columns; k += step) {
      const int end = std::min(columns, k + step);
      if (packed) {
        loop.table.matmul->unpack[PackedIndex(weight.format)](layout, weight.data + block * layout.block_bytes, k, end,
                                                              panel);
      } else {
        const int64_t row = int64_t{block} * kBlockRows;
        const int count = static_cast<int>(std::min<int64_t>(kBlockRows, weight.rows - row));
        loop.table.matmul->unpack_dense[static_cast<int>(weight.format)](
            weight.data + (row * weight.columns + k) * ElementBytes(weight.format), weight.columns, count, end - k,
            panel);
      }
      work({block, k, end - k, panel});
    }
}

// `padded`: values of k in a prepared row.
template <class Kernels>
void MultiplyRoundedPanels(const BlockLoop& loop, const Kernels& kernels, int64_t padded) {
  const auto* const x = reinterpret_cast<const uint16_t*>(loop.prepared);
  auto* const rounded = reinterpret_cast<uint16_t*>(loop.scratch + kFloatPanelBytes);
  ForFloatPanels(loop, [&](const FloatPanel& p) {
    kernels.round_panel(p.values, p.columns, rounded);
    ForChunks(loop.rows, FloatChunks(loop.rows), [&](int row, int count) {
      kernels.multiply(x + row * padded + int64_t{p.k} * count, count, rounded, p.columns, p.k == 0,
                       loop.Out(p.block, row), loop.ldo);
    });
  });
}

}  // namespace

void MultiplyRows(const BlockLoop& loop, int span) {
  const PackedLayout layout = LayoutOf(loop.weight);
  const SegmentPlan plan = PlanSegments(layout, span);
  const Int8ChunkLayout prepared(layout, plan);
  const int index = PackedIndex(loop.weight.format);
  const auto& kernel = loop.table.matmul->rows[index];
  const auto block_data = [&](int block) { return loop.weight.data + block * layout.block_bytes; };
  if (const auto widen = loop.table.matmul->widen[index]) {
    // Widened once for all blocks. Such tables are far from the memory's speed: blocks may come from there again.
    auto* const wide = reinterpret_cast<int16_t*>(loop.scratch);
    return ForChunks(loop.rows, Int8Chunks(loop.rows), [&](int row, int count) {
      PreparedRows x = prepared.At(loop.prepared, row, count);
      widen(x.quants, prepared.octets * count, wide);
      x.wide = wide;
      for (int block = loop.block_begin; block < loop.block_end; ++block)
        kernel[count - 1](block_data(block), plan, x, loop.Out(block, row), loop.ldo);
    });
  }
  const int chunks = Int8Chunks(loop.rows);
  // The first pass over a block would wait for memory and the others would not use it: each of the first two fetches
  // half of the next block.
  const int lines = std::max(1, OctetBytes(layout.format) / kLine / 2);
  for (int block = loop.block_begin; block < loop.block_end; ++block) {
    const uint8_t* const next_end = block_data(block + 2);
    const uint8_t* ahead = chunks > 1 && block + 1 < loop.block_end ? block_data(block + 1) : next_end;
    ForChunks(loop.rows, chunks, [&](int row, int count) {
      PreparedRows x = prepared.At(loop.prepared, row, count);
      if (ahead < next_end) x.fetch = ahead, x.fetch_lines = lines;
      ahead += prepared.octets * lines * kLine;
      kernel[count - 1](block_data(block), plan, x, loop.Out(block, row), loop.ldo);
    });
  }
}

size_t WideQuantsBytes(const Weight& weight, int rows) {
#if defined(__wasm__)
  const int64_t columns = (weight.columns + kOctet - 1) / kOctet * kOctet;
  return sizeof(int16_t) * static_cast<size_t>(columns) * static_cast<size_t>(std::min(rows, kChunkRows));
#else
  (void)weight, (void)rows;
  return 0;
#endif
}

size_t CodePanelBytes(const Weight& weight) {
  const PackedLayout layout = LayoutOf(weight);
  constexpr size_t kBeyond = size_t{kTilePadding} * kBlockRows;
  return static_cast<size_t>(PanelCodes(layout)) + kBeyond +
         2 * sizeof(float) * static_cast<size_t>(PanelScales(layout));
}

void MultiplyCodePanels(const BlockLoop& loop, int span) {
  const PackedLayout layout = LayoutOf(loop.weight);
  const SegmentPlan plan = PlanSegments(layout, span);
  const Int8ChunkLayout prepared(layout, plan);
  const int index = PackedIndex(loop.weight.format);
  const auto unpack = loop.table.matmul->unpack_codes[index];
  const auto& kernel = loop.table.matmul->panel[index];
  const int chunks = Int8Chunks(loop.rows), step = PanelSegments(plan);

  CodePanel panel = PlacePanel(loop.scratch, layout);
  const uint8_t* const end = loop.weight.data + loop.block_end * layout.block_bytes;
  for (int block = loop.block_begin; block < loop.block_end; ++block) {
    const uint8_t* data = loop.weight.data + block * layout.block_bytes;
    for (int s = 0; s < plan.segments; s += step) {
      panel.segment_begin = s;
      panel.segment_end = std::min(plan.segments, s + step);
      panel.column_scale = reinterpret_cast<const float*>(data);
      unpack(layout, plan, data, panel);
      // What the next unpacking reads, a piece of it after every chunk: the rest of this block, or the next one.
      const int64_t octets = static_cast<int64_t>(panel.segment_end) * plan.octets;
      const uint8_t* ahead = std::min(end, data + std::min(layout.block_bytes, octets * OctetBytes(layout.format)));
      const int64_t bytes = std::min<int64_t>(end - ahead, step * plan.octets * int64_t{OctetBytes(layout.format)});
      panel.ahead_lines = static_cast<int>(bytes / kLine / chunks + 1);
      ForChunks(loop.rows, chunks, [&](int row, int count) {
        panel.ahead = std::min(ahead, end - panel.ahead_lines * kLine);
        ahead += panel.ahead_lines * kLine;
        kernel[count - 1](panel, plan, prepared.At(loop.prepared, row, count), loop.Out(block, row), loop.ldo);
      });
    }
  }
}

void MultiplyDenseRows(const BlockLoop& loop, bool bf16) {
  const Weight& weight = loop.weight;
  const auto& kernels = bf16 ? loop.table.bf16->stream : loop.table.matmul->stream[static_cast<int>(weight.format)];
  const int whole = std::min(loop.block_end, std::max(loop.block_begin, static_cast<int>(weight.rows / kBlockRows)));
  const int64_t block_bytes = weight.columns * kBlockRows * ElementBytes(weight.format);
  for (int block = loop.block_begin; block < whole; ++block)
    kernels[loop.rows - 1](weight.data + block * block_bytes, static_cast<int>(weight.columns), loop.prepared,
                           loop.Out(block, 0), loop.ldo);
  if (whole == loop.block_end) return;
  const BlockLoop rest = {loop.table,         weight,   loop.prepared, loop.rows, whole, loop.block_end,
                          loop.Out(whole, 0), loop.ldo, loop.scratch};
  if (bf16) return MultiplyBf16Panels(rest);
  MultiplyFloatPanels(rest);
}

void MultiplyFloatPanels(const BlockLoop& loop) {
  const int64_t columns = loop.weight.columns;
  const auto* const x = reinterpret_cast<const float*>(loop.prepared);
  ForFloatPanels(loop, [&](const FloatPanel& p) {
    ForChunks(loop.rows, FloatChunks(loop.rows), [&](int row, int count) {
      loop.table.matmul->multiply_float(x + row * columns + int64_t{p.k} * count, count, p.values, p.columns, p.k == 0,
                                        loop.Out(p.block, row), loop.ldo);
    });
  });
}

void MultiplyBf16Panels(const BlockLoop& loop) {
  MultiplyRoundedPanels(loop, *loop.table.bf16, (loop.weight.columns + 1) / 2 * 2);
}

void MultiplyF16Panels(const BlockLoop& loop) {
  static_assert(kPanelColumns / 2 % kHalfRun == 0);
  MultiplyRoundedPanels(loop, *loop.table.f16, loop.weight.columns);
}

int64_t Bf16TileStride(int64_t columns) {
  constexpr int64_t kStep = kTilePadding / 2;
  return (columns + kStep - 1) / kStep * kStep;
}

void MultiplyInt8Tiles(const BlockLoop& loop, int span) {
  const PackedLayout layout = LayoutOf(loop.weight);
  const SegmentPlan plan = PlanSegments(layout, span);
  const Int8ChunkLayout prepared(layout, plan);
  const WeightFormat f = layout.format;
  // The bytes of the panel have 16 times the zero point that was prepared for.
  const bool spread = HasZeroPoints(f) || f == WeightFormat::kTwo4;
  const TileFormat format = {spread ? 16 : HasMinima(f) ? 0 : 1, f != WeightFormat::kTwo4, HasMinima(f), IsTwoLevel(f)};
  CodePanel panel = PlacePanel(loop.scratch, layout);
  const int step = PanelSegments(plan);
  for (int block = loop.block_begin; block < loop.block_end; ++block) {
    const uint8_t* data = loop.weight.data + block * layout.block_bytes;
    panel.column_scale = reinterpret_cast<const float*>(data);
    for (int s = 0; s < plan.segments; s += step) {
      panel.segment_begin = s;
      panel.segment_end = std::min(plan.segments, s + step);
      loop.table.matmul->unpack_codes[PackedIndex(f)](layout, plan, data, panel);
      for (int row = 0; row < loop.rows; row += kTileRows) {
        const TileRows rows = {loop.prepared + row * prepared.row_bytes, prepared.row_bytes,
                               std::min(kTileRows, loop.rows - row), prepared.octets, prepared.segments};
        loop.table.tiles->multiply_int8(panel, format, plan, rows, loop.Out(block, row), loop.ldo);
      }
    }
  }
}

void MultiplyBf16Tiles(const BlockLoop& loop) {
  const int64_t stride = Bf16TileStride(loop.weight.columns);
  const auto* const x = reinterpret_cast<const uint16_t*>(loop.prepared);
  auto* const rounded = reinterpret_cast<uint16_t*>(loop.scratch + kFloatPanelBytes);
  ForFloatPanels(loop, [&](const FloatPanel& p) {
    loop.table.tiles->round_panel(p.values, p.columns, rounded);
    for (int row = 0; row < loop.rows; row += kTileRows)
      loop.table.tiles->multiply_bf16(x + row * stride + p.k, stride, std::min(kTileRows, loop.rows - row), rounded,
                                      p.columns, p.k == 0, loop.Out(p.block, row), loop.ldo);
  });
}

}  // namespace llm
