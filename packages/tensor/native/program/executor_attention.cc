#include <algorithm>

#include "kernels/attention_kernels.h"
#include "kernels/vector_kernels.h"
#include "program/executor.h"

namespace llm {
namespace {

constexpr int kTasksPerThread = 4;
constexpr int64_t kSplitKeys = 3 * kAttentionSegment;

}  // namespace

// Before the step: which queries make a task. Segments of few tokens write their keys and values in the same task as
// they attend; if one of them has more, all are written first.
void Executor::PlanAttention(int parts) {
  query_blocks_.clear();
  segment_of_row_.clear();
  store_first_ = false;
  for (int s = 0; s < static_cast<int>(step_->segments.size()); ++s) {
    const Segment& segment = step_->segments[s];
    segment_of_row_.insert(segment_of_row_.end(), segment.count, s);
    store_first_ |= segment.count > kQueryBlock;
    for (int first = 0; first < segment.count; first += kQueryBlock)
      query_blocks_.push_back({s, first, std::min(kQueryBlock, segment.count - first)});
  }

  // Few heads over a long context: too few tasks for all threads, or for an even share.
  int64_t longest = 0;
  for (const Segment& segment : step_->segments) longest = std::max(longest, segment.first_position + segment.count);
  const int tasks = static_cast<int>(query_blocks_.size()) * program_.kv_heads;
  const bool split = parts > 1 && !store_first_ && step_->rows() <= kSplitRows && tasks < kTasksPerThread * parts &&
                     longest >= kSplitKeys;
  split_segments_ = split ? (longest + kAttentionSegment - 1) / kAttentionSegment : 0;
}

bool Executor::Attention(Worker& w, const Instruction& ins) {
  if (split_segments_ > 0) return AttentionInParts(w, ins);
  if (store_first_) {
    const int rows = step_->rows();
    const auto border = [&](int part) { return static_cast<int>(static_cast<int64_t>(rows) * part / w.parts); };
    for (int row = border(w.part); row < border(w.part + 1); ++row)
      for (int kv_head = 0; kv_head < ins.kv_heads; ++kv_head) StoreRow(ins, row, kv_head);
    if (!Sync(w)) return false;
  }
  const int tasks = static_cast<int>(query_blocks_.size()) * ins.kv_heads;
  queue_->Run(w.part, w.parts, w.calls++, tasks, 1, 1, [&](int task, int) { Attend(w, ins, task); });
  return true;
}

// One row's key and value into the cache, and the rotation of the queries that share them.
void Executor::StoreRow(const Instruction& ins, int row, int kv_head) {
  const Segment& segment = step_->segments[segment_of_row_[row]];
  const int64_t position = segment.first_position + row - segment.first_row;
  const int group = ins.heads / ins.kv_heads, key_dim = program_.cache.key_dim;
  float* const k = RowOf(ins.k.buffer, row) + ins.k.column + static_cast<int64_t>(kv_head) * ins.k.head_stride;
  const float* const v = RowOf(ins.v.buffer, row) + ins.v.column + static_cast<int64_t>(kv_head) * ins.v.head_stride;

  const RopeTable* const rope = ins.rope_table >= 0 ? &program_.rope_tables[ins.rope_table] : nullptr;
  const auto turn = [&](const Norm& norm, float* head) {
    if (norm.kind != NormKind::kNone) ApplyNorm(norm, head, key_dim, head);
    if (rope == nullptr) return;
    kernels_.vector->rope(head, &rope->values[position * rope->rotary_dim], rope->rotary_dim, ins.rope_interleaved);
  };
  float* const q = RowOf(ins.q.buffer, row) + ins.q.Group(kv_head, group);
  for (int head = 0; head < group; ++head) turn(ins.norm, q + static_cast<int64_t>(head) * ins.q.head_stride);
  turn(ins.key_norm, k);
  kernels_.attention->store(program_.cache, segment.table, cache_.HeadOffset(ins.layer, kv_head), position, k, v);
}

// Keys and values first, then segments of keys of every head, then their sum: what Attend gives, bit for bit.
bool Executor::AttentionInParts(Worker& w, const Instruction& ins) {
  const int rows = step_->rows(), tasks = static_cast<int>(query_blocks_.size()) * ins.kv_heads;
  queue_->Run(w.part, w.parts, w.calls++, rows * ins.kv_heads, 1, 1,
              [&](int i, int) { StoreRow(ins, i / ins.kv_heads, i % ins.kv_heads); });
  if (!Sync(w)) return false;
  const int segments = static_cast<int>(split_segments_);
  // Behind those of the rows before, then of the heads before.
  const auto states_of = [&](const AttentionTask& task, int index) {
    const QueryBlock& block = query_blocks_[index / ins.kv_heads];
    const int row = step_->segments[block.segment].first_row + block.first;
    const size_t row_floats = AttentionStateFloats(task) / task.queries * ins.kv_heads;
    const size_t before = row * row_floats + static_cast<size_t>(index % ins.kv_heads) * AttentionStateFloats(task);
    return states_ + before * split_segments_;
  };
  queue_->Run(w.part, w.parts, w.calls++, tasks * segments, 1, 1, [&](int i, int) {
    const AttentionTask task = TaskOf(w, ins, i / segments);
    const int64_t segment = i % segments;
    if (segment < FirstSegment(task) || segment >= EndSegment(task)) return;
    kernels_.attention->attend_segments(task, segment, segment + 1, states_of(task, i / segments));
  });
  if (!Sync(w)) return false;
  queue_->Run(w.part, w.parts, w.calls++, tasks, 1, 1, [&](int i, int) {
    const AttentionTask task = TaskOf(w, ins, i);
    kernels_.attention->merge(task, states_of(task, i));
  });
  return true;
}

void Executor::Attend(Worker& w, const Instruction& ins, int task) {
  if (!store_first_) {
    const QueryBlock& block = query_blocks_[task / ins.kv_heads];
    const int row = step_->segments[block.segment].first_row + block.first;
    for (int i = 0; i < block.count; ++i) StoreRow(ins, row + i, task % ins.kv_heads);
  }
  kernels_.attention->attend(TaskOf(w, ins, task));
}

AttentionTask Executor::TaskOf(Worker& w, const Instruction& ins, int task) const {
  const QueryBlock& block = query_blocks_[task / ins.kv_heads];
  const int kv_head = task % ins.kv_heads;
  const Segment& segment = step_->segments[block.segment];
  const int row = segment.first_row + block.first;
  const int group = ins.heads / ins.kv_heads, first_head = kv_head * group;
  AttentionTask attention = {};
  attention.layout = &program_.cache;
  attention.blocks = segment.table;
  attention.head_offset = cache_.HeadOffset(ins.layer, kv_head);
  attention.q = RowOf(ins.q.buffer, row) + ins.q.Group(kv_head, group);
  attention.q_row_stride = Width(ins.q.buffer);
  attention.q_head_stride = ins.q.head_stride;
  attention.heads = group;
  attention.queries = block.count;
  attention.first_position = segment.first_position + block.first;
  attention.scale = ins.factor;
  attention.softcap = ins.softcap;
  attention.window = ins.window;
  attention.alibi_slopes = ins.alibi.empty() ? nullptr : ins.alibi.data() + first_head;
  attention.out = RowOf(ins.o.buffer, row) + ins.o.column + static_cast<int64_t>(first_head) * ins.o.head_stride;
  attention.out_row_stride = Width(ins.o.buffer);
  attention.out_head_stride = ins.o.head_stride;
  attention.scratch = w.scratch;
  return attention;
}

}  // namespace llm
