#include "packing/packed_layout.h"

namespace llm {

namespace {

// Bounds that keep every product below 2^63 and every integer dot product below 2^31.
constexpr int64_t kMaxRows = int64_t{1} << 31;
constexpr int64_t kMaxColumns = int64_t{1} << 24;
constexpr int64_t kMaxGroup = int64_t{1} << 16;

int64_t WholeLines(int64_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

}  // namespace

int64_t PackedLayout::Bytes() const { return blocks * block_bytes; }

bool MakePackedLayout(WeightFormat format, int64_t rows, int64_t columns, int64_t group, PackedLayout* layout) {
  if (!IsPacked(format) || rows <= 0 || rows > kMaxRows || columns <= 0 || columns > kMaxColumns || group < 0)
    return false;
  const int64_t octets = (columns + kOctet - 1) / kOctet;
  if (group == 0 || group >= columns) group = octets * kOctet;
  if (group % kOctet != 0 || group > kMaxGroup) return false;
  const int64_t groups = (columns + group - 1) / group;
  layout->format = format;
  layout->rows = rows;
  layout->columns = columns;
  layout->blocks = (rows + kBlockRows - 1) / kBlockRows;
  layout->groups = static_cast<int>(groups);
  layout->group_octets = static_cast<int>(group / kOctet);
  layout->tail_octets = static_cast<int>(octets - (groups - 1) * layout->group_octets);
  layout->group_bytes = WholeLines(ScaleBytes(format) + int64_t{layout->group_octets} * OctetBytes(format));
  layout->block_bytes = GroupOffset(*layout, format, layout->groups - 1) +
                        WholeLines(ScaleBytes(format) + int64_t{layout->tail_octets} * OctetBytes(format));
  return true;
}

}  // namespace llm
