// The key and value cache of one head, and causal attention over it.
//
// A cache is a table of blocks; this family sees one KV head of one layer: `head_offset` bytes into every block there
// are HeadBytes() bytes of it, 64-byte aligned:
//   keys    [block_tokens / 16][key_dim][16 tokens]   so that 16 scores are one vector, with no horizontal sums
//   values  [block_tokens][value_dim padded to 16]
//   scales  [2][block_tokens] float32, of keys then of values; int8 only: value = code * scale, scale = max|x| / 127
//
// Scores are taken in fixed chunks of 64 keys with a running maximum, in float32; the running state starts afresh at
// every multiple of kAttentionSegment keys and segments are merged in order. Both borders are absolute positions and
// every row (a head of a query) has its own chain of operations: its result does not depend on the other rows of a
// task, on the block table, or on whether the segments were computed by one thread or by many.
#pragma once

#include <cstddef>
#include <cstdint>

namespace llm {

enum class KvType : uint8_t { kF32, kF16, kBf16, kInt8 };

constexpr int kAttentionSegment = 256;  // keys

struct KvLayout {
  KvType type;
  int block_tokens;  // a multiple of 16
  int key_dim;
  int value_dim;

  size_t ValueOffset() const;  // from the head's start to its values
  size_t ScaleOffset() const;
  size_t HeadBytes() const;  // of keys and values, for block_tokens tokens
  bool Valid() const;
};

struct AttentionTask {
  const KvLayout* layout;
  const uint8_t* const* blocks;  // of the sequence, by position / block_tokens
  size_t head_offset;            // of this layer and KV head, inside every block
  const float* q;                // of query i and head h: q + i * q_row_stride + h * q_head_stride
  int64_t q_row_stride;
  int64_t q_head_stride;
  int heads;  // query heads that share this KV head
  int queries;
  int64_t first_position;  // of query 0; keys 0..position are visible
  float scale;
  float softcap;              // 0 for none
  int64_t window;             // a query sees this many keys, itself included; 0 for all
  const float* alibi_slopes;  // [heads], or null: adds slope * (key position - query position)
  float* out;
  int64_t out_row_stride;
  int64_t out_head_stride;
  uint8_t* scratch;  // AttentionScratchBytes, 64-byte aligned
};

struct AttentionKernels {
  // Writes the key and value of one token.
  void (*store)(const KvLayout& layout, uint8_t* const* blocks, size_t head_offset, int64_t position, const float* k,
                const float* v);
  // Turns the keys of the first `tokens` of one block by the angles cos_sin[rotary_dim / 2][2], pairs as in
  // VectorKernels::rope: those of -n positions make them keys of n positions earlier. Rounds up to 16 tokens.
  void (*rotate_keys)(const KvLayout& layout, uint8_t* block, size_t head_offset, int tokens, const float* cos_sin,
                      int rotary_dim, int interleaved);
  void (*attend)(const AttentionTask& task);
  // The same in parts, for spreading one KV head over threads: the states of segments [begin, end), a segment being
  // kAttentionSegment keys from a multiple of it, into states + (segment - first) * AttentionStateFloats(task).
  // `first` is FirstSegment(task). Then one merge gives what attend gives, bit for bit.
  void (*attend_segments)(const AttentionTask& task, int64_t begin, int64_t end, float* states);
  void (*merge)(const AttentionTask& task, const float* states);
};

// Of one thread, for tasks of up to so many heads and queries. The context does not matter.
size_t AttentionScratchBytes(const KvLayout& layout, int heads, int queries);

// Segments [FirstSegment, EndSegment) hold every key that the task's queries see.
int64_t FirstSegment(const AttentionTask& task);
int64_t EndSegment(const AttentionTask& task);
// Floats of one segment's states of all rows.
size_t AttentionStateFloats(const AttentionTask& task);

}  // namespace llm
