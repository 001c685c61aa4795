#include "kernels/select_matmul.h"

#include <atomic>

#include "kernels/bf16_kernels.h"
#include "kernels/matmul_plan.h"

namespace llm {
namespace {

constexpr const char* kNames[] = {"rows", "panel", "stream", "float", "bf16", "f16", "tiles", "bf16-tiles"};
constexpr int kNotForced = -1;
std::atomic<int> forced{kNotForced};

constexpr int kNever = 1 << 30;

struct Threshold {
  const char* name;
  std::atomic<int> rows;
};

// Rows from which unpacking a block once beats decoding it for every 6 rows. Measured on Zen 4 (4096 x 4096, one
// thread, share of the dot products' peak at 512 rows, rows against panel): symmetric .85 and .81 in groups of 32, .93
// and .88 in groups of 128; zero points .77 and .81, .89 and .88; two-level .81 and .83, .89 and .85. CPUs whose masks
// and shifts share ports with the dot product (Intel) may differ: `llm doctor --tune` measures it.
// Tiles: rows that fill 2 x 16; below, they would multiply padding. Not measured: no machine with AMX was at hand.
constinit Threshold thresholds[] = {
    {"symmetric-short", {kNever}},
    {"symmetric-long", {kNever}},
    {"zero-points-short", {96}},
    {"zero-points-long", {kNever}},
    {"two-level-short", {256}},
    {"two-level-long", {kNever}},
    {"tiles", {32}},
};
constexpr int kTilesIndex = 6;
constexpr int kBf16TileRows = 32;
std::atomic<bool> measured{false};

int PanelThreshold(const Weight& weight) {
  constexpr int kShortGroup = 64;
  const bool short_groups = weight.group > 0 && weight.group <= kShortGroup;
  const int kind = HasZeroPoints(weight.format) ? 2 : weight.format == WeightFormat::kTwo4 ? 4 : 0;
  return thresholds[kind + (short_groups ? 0 : 1)].rows.load(std::memory_order_relaxed);
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

}  // namespace

const char* NameOf(MatmulPath path) { return kNames[static_cast<int>(path)]; }

MatmulChoice SelectMatmul(const KernelTable& table, Compute compute, const Weight& weight, int span, int rows) {
  if (compute == Compute::kBf16) {
    if (table.tiles != nullptr && (rows >= kBf16TileRows || table.bf16 == nullptr))
      return {MatmulPath::kBf16Tiles, "bf16 factors were asked for, and rows fill tiles"};
    if (Streams(table.bf16 != nullptr && weight.format == WeightFormat::kBf16 ? table.bf16->stream : nullptr, rows))
      return {MatmulPath::kStream, kFewDenseRows};
    return table.bf16 != nullptr ? MatmulChoice{MatmulPath::kBf16, "bf16 factors were asked for"}
                                 : MatmulChoice{MatmulPath::kFloat, "no bf16 instructions in this table"};
  }
  if (compute == Compute::kF16 && table.f16 != nullptr) return {MatmulPath::kF16, "fp16 factors were asked for"};
  if (!IsPacked(weight.format)) {
    if (Streams(table.matmul->stream[static_cast<int>(weight.format)], rows))
      return {MatmulPath::kStream, kFewDenseRows};
    return {MatmulPath::kFloat, "dense weights"};
  }
  if (compute == Compute::kF16) return {MatmulPath::kFloat, "no fp16 arithmetic in this table"};
  if (compute == Compute::kF32) return {MatmulPath::kFloat, "exact weights and sums were asked for"};
  const bool fits = SpansFitPanel(weight, span), tiles = table.tiles != nullptr && fits;
  const bool panel = table.matmul->panel[PackedIndex(weight.format)][0] != nullptr && fits;
  const int force = forced.load(std::memory_order_relaxed);
  const auto is_forced = [force](MatmulPath path) { return force == static_cast<int>(path); };
  if (is_forced(MatmulPath::kRows)) return {MatmulPath::kRows, "forced"};
  if (is_forced(MatmulPath::kPanel) && panel) return {MatmulPath::kPanel, "forced"};
  if (is_forced(MatmulPath::kTiles) && tiles) return {MatmulPath::kTiles, "forced"};
  if (tiles && rows >= thresholds[kTilesIndex].rows.load(std::memory_order_relaxed))
    return {MatmulPath::kTiles, "rows fill tiles"};
  if (!panel) return {MatmulPath::kRows, "no panel kernel in this table for this format"};
  const bool here = measured.load(std::memory_order_relaxed);
  if (rows < PanelThreshold(weight))
    return {MatmulPath::kRows, here ? "decoding codes again for every 6 rows costs less, as measured on this machine"
                                    : "decoding codes again for every 6 rows costs less than a panel"};
  return {MatmulPath::kPanel,
          here ? "many rows share one decoding, as measured on this machine" : "many rows share one decoding"};
}

bool SetMatmulThreshold(std::string_view name, int rows) {
  for (Threshold& threshold : thresholds) {
    if (name != threshold.name) continue;
    threshold.rows.store(rows > 0 ? rows : kNever, std::memory_order_relaxed);
    measured.store(true, std::memory_order_relaxed);
    return true;
  }
  return false;
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
