#include "kernels/matmul_plan.h"

#include <algorithm>

namespace llm {

PackedLayout LayoutOf(const Weight& weight) {
  PackedLayout layout = {};
  MakePackedLayout(weight.format, weight.rows, weight.columns, weight.group, &layout);
  return layout;
}

SegmentPlan PlanSegments(const PackedLayout& layout, int span) {
  const int octets = (layout.groups - 1) * layout.group_octets + layout.tail_octets;
  const int span_octets = std::max(1, (span > 0 ? span : kDefaultSpan) / kOctet);
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

Int8ChunkLayout::Int8ChunkLayout(const PackedLayout& layout, const SegmentPlan& plan)
    : octets(static_cast<int64_t>(layout.groups - 1) * layout.group_octets + layout.tail_octets),
      segments(plan.segments),
      spans((plan.segments + plan.per_span - 1) / plan.per_span),
      row_bytes((octets * kOctet + 4 * (segments + spans) + kLine - 1) / kLine * kLine) {}

PreparedRows Int8ChunkLayout::At(const uint8_t* prepared, int first_row, int rows) const {
  const uint8_t* chunk = prepared + first_row * row_bytes;
  const uint8_t* base = chunk + rows * octets * kOctet;
  return {rows, reinterpret_cast<const int8_t*>(chunk), reinterpret_cast<const int32_t*>(base),
          reinterpret_cast<const float*>(base + 4 * rows * segments)};
}

int64_t ElementBytes(WeightFormat format) { return format == WeightFormat::kF32 ? 4 : 2; }

}  // namespace llm
