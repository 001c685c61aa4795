#include "kernels/select_matmul.h"

#include <atomic>

#include "kernels/bf16_kernels.h"
#include "kernels/matmul_plan.h"

namespace llm {
namespace {

constexpr const char* kNames[] = {"rows", "panel", "stream", "float", "bf16", "tiles", "bf16-tiles"};
constexpr int kNotForced = -1;
std::atomic<int> forced{kNotForced};

constexpr int kNever = 1 << 30;

// Rows from which unpacking a block once beats decoding it for every 6 rows. Measured on Zen 4 (4096 x 4096, one
// thread, share of the dot products' peak at 512 rows, rows against panel): symmetric .85 and .81 in groups of 32, .93
// and .88 in groups of 128; zero points .77 and .81, .89 and .88; two-level .81 and .83, .89 and .85. CPUs whose masks
// and shifts share ports with the dot product (Intel) may differ: compare with LLM_MATMUL=panel.
int PanelThreshold(const Weight& weight) {
  constexpr int kShortGroup = 64;
  const bool short_groups = weight.group > 0 && weight.group <= kShortGroup;
  if (HasZeroPoints(weight.format)) return short_groups ? 96 : kNever;
  if (weight.format == WeightFormat::kTwo4) return short_groups ? 256 : kNever;
  return kNever;
}

// Panels hold whole spans, and two-level sums of a span must stay exact in fp32: 1024 * 127 * 128 < 2^24.
bool SpansFitPanel(const Weight& weight, int span) {
  static_assert(kCodePanelColumns * 127 * 128 < 1 << 24);
  const SegmentPlan plan = PlanSegments(LayoutOf(weight), span);
  return plan.per_span * plan.octets * kOctet <= kCodePanelColumns;
}

// Few rows of x: a panel would cost more than it saves.
constexpr const char* kFewDenseRows = "few rows of x with dense weights need no panel";

bool Streams(const StreamKernel* kernels, int rows) {
  return kernels != nullptr && rows <= kStreamRows && kernels[rows - 1] != nullptr;
}

// Rows that fill a tile's 2 x 16; below, tiles would multiply padding. Not measured: no machine with AMX was at hand.
constexpr int kTileThreshold = 32;

}  // namespace

const char* NameOf(MatmulPath path) { return kNames[static_cast<int>(path)]; }

MatmulChoice SelectMatmul(const KernelTable& table, Compute compute, const Weight& weight, int span, int rows) {
  if (compute == Compute::kBf16) {
    if (table.tiles != nullptr && (rows >= kTileThreshold || table.bf16 == nullptr))
      return {MatmulPath::kBf16Tiles, "bf16 factors were asked for, and rows fill tiles"};
    if (Streams(table.bf16 != nullptr && weight.format == WeightFormat::kBf16 ? table.bf16->stream : nullptr, rows))
      return {MatmulPath::kStream, kFewDenseRows};
    return table.bf16 != nullptr ? MatmulChoice{MatmulPath::kBf16, "bf16 factors were asked for"}
                                 : MatmulChoice{MatmulPath::kFloat, "no bf16 instructions in this table"};
  }
  if (!IsPacked(weight.format)) {
    if (Streams(table.matmul->stream[static_cast<int>(weight.format)], rows))
      return {MatmulPath::kStream, kFewDenseRows};
    return {MatmulPath::kFloat, "dense weights"};
  }
  if (compute == Compute::kF32) return {MatmulPath::kFloat, "exact weights and sums were asked for"};
  const bool fits = SpansFitPanel(weight, span), tiles = table.tiles != nullptr && fits;
  const bool panel = table.matmul->panel[PackedIndex(weight.format)][0] != nullptr && fits;
  const int force = forced.load(std::memory_order_relaxed);
  const auto is_forced = [force](MatmulPath path) { return force == static_cast<int>(path); };
  if (is_forced(MatmulPath::kRows)) return {MatmulPath::kRows, "forced"};
  if (is_forced(MatmulPath::kPanel) && panel) return {MatmulPath::kPanel, "forced"};
  if (is_forced(MatmulPath::kTiles) && tiles) return {MatmulPath::kTiles, "forced"};
  if (tiles && rows >= kTileThreshold) return {MatmulPath::kTiles, "rows fill tiles"};
  if (!panel) return {MatmulPath::kRows, "the only other int8 kernel for this table and format"};
  return rows < PanelThreshold(weight)
             ? MatmulChoice{MatmulPath::kRows, "decoding codes again for every 6 rows costs less than a panel"}
             : MatmulChoice{MatmulPath::kPanel, "many rows share one decoding"};
}

bool ForceMatmulPath(std::string_view name) {
  if (name.empty()) {
    forced.store(kNotForced, std::memory_order_relaxed);
    return true;
  }
  for (const MatmulPath path : {MatmulPath::kRows, MatmulPath::kPanel, MatmulPath::kTiles}) {
    if (name != NameOf(path)) continue;
    forced.store(static_cast<int>(path), std::memory_order_relaxed);
    return true;
  }
  return false;
}

}  // namespace llm
