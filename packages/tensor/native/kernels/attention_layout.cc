#include "kernels/attention_layout.h"

namespace llm {
namespace {

size_t ElementBytes(KvType type) {
  switch (type) {
    case KvType::kF32:
      return 4;
    case KvType::kF16:
    case KvType::kBf16:
      return 2;
    case KvType::kInt8:
      return 1;
  }
  return 0;
}

size_t Aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

size_t PaddedValues(const KvLayout& layout) { return static_cast<size_t>(PaddedTo16(layout.value_dim)); }

}  // namespace

size_t KvLayout::ValueOffset() const {
  return Aligned(static_cast<size_t>(block_tokens) * static_cast<size_t>(key_dim) * ElementBytes(type));
}

size_t KvLayout::ScaleOffset() const {
  return ValueOffset() + Aligned(static_cast<size_t>(block_tokens) * PaddedValues(*this) * ElementBytes(type));
}

size_t KvLayout::HeadBytes() const {
  const size_t scales = type == KvType::kInt8 ? 2 * static_cast<size_t>(block_tokens) * sizeof(float) : 0;
  return ScaleOffset() + Aligned(scales);
}

bool KvLayout::Valid() const {
  constexpr int kMost = 1 << 16;
  return type <= KvType::kInt8 && block_tokens > 0 && block_tokens % 16 == 0 && block_tokens <= kMost && key_dim > 0 &&
         key_dim <= kMost && value_dim > 0 && value_dim <= kMost;
}

size_t AttentionScratchBytes(const KvLayout& layout, int heads, int queries) {
  const int64_t all = static_cast<int64_t>(heads) * queries;
  const size_t rows = static_cast<size_t>(all < kAttentionRows ? all : kAttentionRows);
  const size_t keys = static_cast<size_t>(layout.key_dim), values = PaddedValues(layout);
  const size_t state = kAttentionStateHeader + values;
  // queries, two states, scores of a tile, a chunk unpacked to float32, running sums
  const size_t floats = rows * (keys + 2 * state + 16) + 8 * kAttentionChunk + kAttentionChunk * (keys + values);
  return Aligned(floats * sizeof(float)) + 8 * 64;
}

int64_t FirstSegment(const AttentionTask& task) {
  if (task.window <= 0 || task.window > task.first_position) return 0;
  return (task.first_position - task.window + 1) / kAttentionSegment;
}

int64_t EndSegment(const AttentionTask& task) {
  return (task.first_position + task.queries - 1) / kAttentionSegment + 1;
}

size_t AttentionStateFloats(const AttentionTask& task) {
  const size_t rows = static_cast<size_t>(task.heads) * static_cast<size_t>(task.queries);
  return rows * (kAttentionStateHeader + PaddedValues(*task.layout));
}

}  // namespace llm
