// Causal attention on the lanes that the including file chose. The order of operations that makes results independent
// of how the work is cut: attention_kernels.h. Rows are heads of queries, query by query, and are worked on in tiles of
// up to Lanes::kTileRows that share every load of a key or value.
#pragma once

#include "kernels/attention_cache-inl.h"
#include "kernels/attention_rotate-inl.h"

namespace llm {
namespace {

// Loops of thousands of operations: one copy each, called.
#define LLM_LOOP __attribute__((noinline))

constexpr int kGroups = kAttentionChunk / 16;
constexpr float kUnseen = -__builtin_inff();

template <int n>
struct Count {
  static constexpr int value = n;
};

// Calls work with rows, 1 to most, as a constant.
template <int most, typename Work>
LLM_INLINE void WithCount(int rows, Work work) {
  if constexpr (most > 1) {
    if (rows < most) return WithCount<most - 1>(rows, work);
  }
  work(Count<most>{});
}

// A range of keys.
struct Span {
  int64_t begin, end;
};

LLM_INLINE int64_t Larger(int64_t a, int64_t b) { return a > b ? a : b; }
LLM_INLINE int64_t Smaller(int64_t a, int64_t b) { return a < b ? a : b; }

LLM_INLINE Span VisibleTo(const AttentionTask& task, int row) {
  const int64_t position = task.first_position + row / task.heads;
  return {task.window > 0 ? Larger(0, position - task.window + 1) : 0, position + 1};
}

// The running softmax of one row: the largest score, the sum of weights, the weighted sum of values.
struct State {
  float* at;

  LLM_INLINE float& top() const { return at[0]; }
  LLM_INLINE float& sum() const { return at[1]; }
  LLM_INLINE float* values() const { return at + kAttentionStateHeader; }
};

// Rows [begin, end) of a task and the memory to work on them.
struct RowBlock {
  const AttentionTask& task;
  int begin, end;
  int tile_rows;
  int value_stride;
  float* queries;   // [tile][key_dim][rows of the tile]
  float* sums;      // [row][16]: sums of weights, lane by lane
  float* scores;    // [tile_rows][kAttentionChunk]
  float* unpacked;  // keys and values of a chunk
  float* states;    // of one segment, [row][header + value_stride]
  float* totals;    // of all segments so far

  LLM_INLINE int StateFloats() const { return kAttentionStateHeader + value_stride; }
  LLM_INLINE State StateOf(float* base, int row) const { return {base + (row - begin) * StateFloats()}; }
};

// scores[r][16 (first + c) + lane] = sum over d of queries[d][r] * keys[d][lane], one chain in order of d.
template <typename Cache, int R, int C>
LLM_LOOP void ScoreTile(const CacheGroup<Cache>* groups, const float* queries, int key_dim, float* scores) {
  F sums[R][C];
#pragma GCC unroll 32
  for (int i = 0; i < R * C; ++i) sums[i / C][i % C] = Lanes::Set(0);
#pragma GCC unroll 1
  for (int d = 0; d < key_dim; ++d) {
    F keys[C];
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      keys[c] = Cache::Load(groups[c].keys + d * 16);
      Fetch<Cache>(groups[c].next_keys + d * 16, d);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const F q = Lanes::Set(queries[d * R + r]);
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) sums[r][c] = Lanes::Fma(q, keys[c], sums[r][c]);
    }
  }
#pragma GCC unroll 32
  for (int i = 0; i < R * C; ++i) Lanes::Store(scores + i / C * kAttentionChunk + 16 * (i % C), sums[i / C][i % C]);
}

template <typename Cache, int R>
LLM_INLINE void Scores(const CacheGroup<Cache>* groups, int count, const float* queries, int key_dim, float* scores) {
  constexpr int C = Lanes::kTileColumns;
  int g = 0;
  for (; g + C <= count; g += C) ScoreTile<Cache, R, C>(groups + g, queries, key_dim, scores + 16 * g);
  for (; g < count; ++g) ScoreTile<Cache, R, 1>(groups + g, queries, key_dim, scores + 16 * g);
}

// values[r] += weights[r][t] * value of token t, for t in [begin, end) in order; C vectors of columns from `column`.
template <typename Cache, int R, int C>
LLM_LOOP void WeighTile(const CacheGroup<Cache>* groups, int begin, int end, int stride, int column,
                        const float* weights, float* const* values) {
  F sums[R][C];
#pragma GCC unroll 32
  for (int i = 0; i < R * C; ++i) sums[i / C][i % C] = Lanes::Load(values[i / C] + column + 16 * (i % C));
  for (int t = begin; t < end;) {
    const int stop = static_cast<int>(Smaller(end, (t / 16 + 1) * 16));
    const int64_t offset = (t % 16) * stride + column;
    const typename Cache::T *row = groups[t / 16].values + offset, *next = groups[t / 16].next_values + offset;
#pragma GCC unroll 1
    for (; t < stop; ++t, row += stride, next += stride) {
      F v[C];
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) {
        v[c] = Cache::Load(row + 16 * c);
        Fetch<Cache>(next + 16 * c, c);
      }
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const F weight = Lanes::Set(weights[r * kAttentionChunk + t]);
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) sums[r][c] = Lanes::Fma(weight, v[c], sums[r][c]);
      }
    }
  }
#pragma GCC unroll 32
  for (int i = 0; i < R * C; ++i) Lanes::Store(values[i / C] + column + 16 * (i % C), sums[i / C][i % C]);
}

template <typename Cache, int R>
LLM_INLINE void Weigh(const CacheGroup<Cache>* groups, int begin, int end, int stride, const float* weights,
                      float* const* values) {
  if (begin >= end) return;
  constexpr int C = Lanes::kTileColumns;
  int column = 0;
  for (; column + 16 * C <= stride; column += 16 * C)
    WeighTile<Cache, R, C>(groups, begin, end, stride, column, weights, values);
  for (; column < stride; column += 16) WeighTile<Cache, R, 1>(groups, begin, end, stride, column, weights, values);
}

// Scores of keys [begin, end) of the chunk become weights relative to the row's running maximum; the state follows it.
// Keys outside get no weight. `plain`: all keys of the chunk, and nothing but the scale.
template <typename Cache, bool plain>
LLM_LOOP void SoftenRow(const AttentionTask& task, const CacheGroup<Cache>* groups, int count, int64_t chunk, int row,
                        int begin, int end, int value_stride, float* scores, float* lane_sums, State state) {
  const F unseen = Lanes::Set(kUnseen);
  const F from = Lanes::Set(static_cast<float>(begin)), to = Lanes::Set(static_cast<float>(end));
  F s[kGroups];
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; ++g) {
    if (!plain && g >= count) {
      s[g] = unseen;
      continue;
    }
    F v = Lanes::Load(scores + 16 * g);
    if constexpr (__is_same(Cache, CacheInt8)) v = Lanes::Mul(v, Lanes::Load(groups[g].key_scales));
    v = Lanes::Mul(v, Lanes::Set(task.scale));
    if constexpr (!plain) {
      if (task.softcap > 0) {
        const F cap = Lanes::Set(task.softcap);
        v = Lanes::Mul(cap, Tanh(Lanes::Div(v, cap)));
      }
      const F index = Lanes::Add(Lanes::Iota(), Lanes::Set(static_cast<float>(16 * g)));
      if (task.alibi_slopes != nullptr) {
        const int64_t position = task.first_position + row / task.heads;
        const F distance = Lanes::Add(index, Lanes::Set(static_cast<float>(chunk - position)));
        v = Lanes::Fma(Lanes::Set(task.alibi_slopes[row % task.heads]), distance, v);
      }
      if (begin > 0 || end < kAttentionChunk)
        v = Lanes::Select(Lanes::Less(index, to), Lanes::Select(Lanes::AtLeast(index, from), v, unseen), unseen);
    }
    s[g] = v;
  }

  const float old_top = state.top();
  const float chunk_top = Lanes::ReduceMax(Lanes::Max(Lanes::Max(s[0], s[1]), Lanes::Max(s[2], s[3])));
  const float top = chunk_top > old_top ? chunk_top : old_top;
  const F shift = Lanes::Set(top);
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; ++g) s[g] = Exp(Lanes::Sub(s[g], shift));

  const F added = Lanes::Add(Lanes::Add(s[0], s[1]), Lanes::Add(s[2], s[3]));
  if (top == old_top) {
    Lanes::Store(lane_sums, Lanes::Add(Lanes::Load(lane_sums), added));
  } else {
    const F shrink = Exp(Lanes::Set(old_top - top));
    Lanes::Store(lane_sums, Lanes::Fma(Lanes::Load(lane_sums), shrink, added));
    float* values = state.values();
    for (int i = 0; i < value_stride; i += 16) Lanes::Store(values + i, Lanes::Mul(Lanes::Load(values + i), shrink));
    state.top() = top;
  }
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; ++g) {
    if (!plain && g >= count) break;
    if constexpr (__is_same(Cache, CacheInt8)) s[g] = Lanes::Mul(s[g], Lanes::Load(groups[g].value_scales));
    Lanes::Store(scores + 16 * g, s[g]);
  }
}

template <typename Cache>
LLM_INLINE void Soften(const AttentionTask& task, const CacheGroup<Cache>* groups, int count, int64_t chunk, int row,
                       int begin, int end, int value_stride, float* scores, float* lane_sums, State state) {
  const bool plain = begin == 0 && end == kAttentionChunk && task.softcap <= 0 && task.alibi_slopes == nullptr;
  const auto soften = plain ? SoftenRow<Cache, true> : SoftenRow<Cache, false>;
  soften(task, groups, count, chunk, row, begin, end, value_stride, scores, lane_sums, state);
}

// One chunk of keys for the rows of one tile.
template <typename Cache, typename Stored, int R>
LLM_LOOP void ChunkTile(const RowBlock& block, const CacheGroup<Cache>* groups, const CacheGroup<Stored>* stored,
                        int64_t chunk, int first_row) {
  const AttentionTask& task = block.task;
  const int key_dim = task.layout->key_dim, stride = block.value_stride;
  int begins[R], ends[R];
  float* values[R];
  int shared_begin = 0, shared_end = kAttentionChunk, last = 0;
  for (int r = 0; r < R; ++r) {
    const Span seen = VisibleTo(task, first_row + r);
    begins[r] = static_cast<int>(Smaller(kAttentionChunk, Larger(0, seen.begin - chunk)));
    ends[r] = static_cast<int>(Smaller(kAttentionChunk, Larger(0, seen.end - chunk)));
    if (begins[r] > shared_begin) shared_begin = begins[r];
    if (ends[r] < shared_end) shared_end = ends[r];
    if (ends[r] > begins[r] && ends[r] > last) last = ends[r];
    values[r] = block.StateOf(block.states, first_row + r).values();
  }
  if (last == 0) return;
  const int count = (last + 15) / 16;

  const float* queries = block.queries + static_cast<int64_t>(first_row - block.begin) * key_dim;
  Scores<Cache, R>(groups, count, queries, key_dim, block.scores);
  for (int r = 0; r < R; ++r) {
    if (begins[r] >= ends[r]) continue;
    const int row = first_row + r;
    Soften<Stored>(task, stored, count, chunk, row, begins[r], ends[r], stride, block.scores + r * kAttentionChunk,
                   block.sums + (row - block.begin) * 16, block.StateOf(block.states, row));
  }

  // What all rows see is read once for all of them; the edges, where the mask cuts between rows, row by row.
  if (shared_begin > shared_end) shared_begin = shared_end;
  for (int r = 0; r < R; ++r)
    Weigh<Cache, 1>(groups, begins[r], static_cast<int>(Smaller(shared_begin, ends[r])), stride,
                    block.scores + r * kAttentionChunk, values + r);
  Weigh<Cache, R>(groups, shared_begin, shared_end, stride, block.scores, values);
  for (int r = 0; r < R; ++r)
    Weigh<Cache, 1>(groups, static_cast<int>(Larger(shared_end, begins[r])), ends[r], stride,
                    block.scores + r * kAttentionChunk, values + r);
}

template <typename Cache, typename Stored>
LLM_INLINE void ChunkRows(const RowBlock& block, const CacheGroup<Cache>* groups, const CacheGroup<Stored>* stored,
                          int64_t chunk) {
  for (int row = block.begin; row < block.end; row += block.tile_rows) {
    const int rows = static_cast<int>(Smaller(block.tile_rows, block.end - row));
    WithCount<Lanes::kTileRows>(
        rows, [&](auto count) { ChunkTile<Cache, Stored, decltype(count)::value>(block, groups, stored, chunk, row); });
  }
}

// Converting a chunk once is cheaper than in every tile.
template <typename Cache>
LLM_LOOP void Unpack(const RowBlock& block, const CacheGroup<Cache>* groups, int count, CacheGroup<Unpacked>* out) {
  const int keys = 16 * block.task.layout->key_dim, values = 16 * block.value_stride;
  float* to = block.unpacked;
  for (int g = 0; g < count; ++g) {
    out[g] = {to, to + keys, nullptr, nullptr, to, to + keys};
    for (int i = 0; i < keys; i += 16, to += 16) Lanes::Store(to, Cache::Load(groups[g].keys + i));
    for (int i = 0; i < values; i += 16, to += 16) Lanes::Store(to, Cache::Load(groups[g].values + i));
  }
}

// The states of one segment for all rows of a block.
template <typename Cache>
void Segment(const RowBlock& block, int64_t segment) {
  const AttentionTask& task = block.task;
  const CacheOffsets at(*task.layout);
  for (int row = block.begin; row < block.end; ++row) {
    const State state = block.StateOf(block.states, row);
    for (int i = 0; i < block.StateFloats(); i += 16) Lanes::Store(state.at + i, Lanes::Set(0));
    state.top() = kUnseen;
    Lanes::Store(block.sums + (row - block.begin) * 16, Lanes::Set(0));
  }

  const int64_t begin = Larger(VisibleTo(task, block.begin).begin, segment * kAttentionSegment);
  const int64_t end = Smaller(VisibleTo(task, block.end - 1).end, (segment + 1) * kAttentionSegment);
  for (int64_t chunk = begin / kAttentionChunk * kAttentionChunk; chunk < end; chunk += kAttentionChunk) {
    CacheGroup<Cache> groups[kGroups];
    const int count = static_cast<int>(Smaller(kGroups, (end - chunk + 15) / 16));
    for (int g = 0; g < count; ++g) {
      const int64_t token = chunk + 16 * g;
      const uint8_t* head = task.blocks[token / at.block_tokens] + task.head_offset;
      groups[g] = GroupAt<Cache>(at, head, static_cast<int>(token % at.block_tokens));
      const int64_t next = token + kAttentionChunk;
      if (next >= end) continue;
      const uint8_t* next_head = task.blocks[next / at.block_tokens] + task.head_offset;
      const CacheGroup<Cache> then = GroupAt<Cache>(at, next_head, static_cast<int>(next % at.block_tokens));
      groups[g].next_keys = then.keys;
      groups[g].next_values = then.values;
    }
    if (!__is_same(Cache, CacheF32) && block.end - block.begin > 2 * Lanes::kTileRows) {
      CacheGroup<Unpacked> unpacked[kGroups];
      Unpack(block, groups, count, unpacked);
      ChunkRows<Unpacked, Cache>(block, unpacked, groups, chunk);
    } else {
      ChunkRows<Cache, Cache>(block, groups, groups, chunk);
    }
  }
  for (int row = block.begin; row < block.end; ++row)
    block.StateOf(block.states, row).sum() = Lanes::ReduceAdd(Lanes::Load(block.sums + (row - block.begin) * 16));
}

// total = total and then next
LLM_LOOP void MergeState(State total, State next, int value_stride) {
  if (next.sum() == 0) return;  // a row that sees nothing of the segment
  float* sums = total.values();
  const float* added = next.values();
  if (total.sum() == 0) {
    total.top() = next.top();
    total.sum() = next.sum();
    for (int i = 0; i < value_stride; i += 16) Lanes::Store(sums + i, Lanes::Load(added + i));
    return;
  }
  const float top = next.top() > total.top() ? next.top() : total.top();
  const F keep = Exp(Lanes::Set(total.top() - top)), take = Exp(Lanes::Set(next.top() - top));
  const F sum = Lanes::Fma(Lanes::Set(next.sum()), take, Lanes::Mul(Lanes::Set(total.sum()), keep));
  for (int i = 0; i < value_stride; i += 16)
    Lanes::Store(sums + i, Lanes::Fma(Lanes::Load(added + i), take, Lanes::Mul(Lanes::Load(sums + i), keep)));
  Lanes::StorePart(&total.sum(), 1, sum);
  total.top() = top;
}

LLM_LOOP void WriteOut(const AttentionTask& task, int row, State total) {
  float* out = task.out + row / task.heads * task.out_row_stride + row % task.heads * task.out_head_stride;
  const F sum = Lanes::Set(total.sum());
  const int n = task.layout->value_dim;
  for (int i = 0; i < n; i += 16)
    Lanes::StorePart(out + i, n - i < 16 ? n - i : 16, Lanes::Div(Lanes::Load(total.values() + i), sum));
}

LLM_INLINE float* Take(uint8_t** memory, int64_t floats) {
  float* taken = reinterpret_cast<float*>(*memory);
  *memory += (floats * static_cast<int64_t>(sizeof(float)) + 63) / 64 * 64;
  return taken;
}

// Calls work for blocks of rows with their queries packed.
template <typename Work>
LLM_INLINE void ForRowBlocks(const AttentionTask& task, Work work) {
  const int rows = task.heads * task.queries, key_dim = task.layout->key_dim;
  const int value_stride = PaddedTo16(task.layout->value_dim);
  for (int begin = 0; begin < rows; begin += kAttentionRows) {
    const int end = static_cast<int>(Smaller(rows, begin + kAttentionRows)), count = end - begin;
    const int tiles = (count + Lanes::kTileRows - 1) / Lanes::kTileRows;
    uint8_t* memory = task.scratch;
    RowBlock block = {.task = task,
                      .begin = begin,
                      .end = end,
                      .tile_rows = (count + tiles - 1) / tiles,
                      .value_stride = value_stride,
                      .queries = Take(&memory, static_cast<int64_t>(count) * key_dim),
                      .sums = Take(&memory, count * 16),
                      .scores = Take(&memory, Lanes::kTileRows * kAttentionChunk),
                      .unpacked = Take(&memory, static_cast<int64_t>(kAttentionChunk) * (key_dim + value_stride)),
                      .states = nullptr,
                      .totals = nullptr};
    block.states = Take(&memory, static_cast<int64_t>(count) * block.StateFloats());
    block.totals = Take(&memory, static_cast<int64_t>(count) * block.StateFloats());
    float* packed = block.queries;
    for (int tile = begin; tile < end; tile += block.tile_rows) {
      const int tile_end = static_cast<int>(Smaller(end, tile + block.tile_rows));
      const int width = tile_end - tile;
      for (int row = tile; row < tile_end; ++row) {
        const float* q = task.q + row / task.heads * task.q_row_stride + row % task.heads * task.q_head_stride;
        for (int d = 0; d < key_dim; ++d) packed[d * width + row - tile] = q[d];
      }
      packed += static_cast<int64_t>(width) * key_dim;
    }
    work(block);
  }
}

void Attend(const AttentionTask& task) {
  ForRowBlocks(task, [&](RowBlock& block) {
    for (int row = block.begin; row < block.end; ++row) block.StateOf(block.totals, row).sum() = 0;
    const int64_t first = VisibleTo(task, block.begin).begin / kAttentionSegment;
    const int64_t last = (VisibleTo(task, block.end - 1).end - 1) / kAttentionSegment;
    for (int64_t segment = first; segment <= last; ++segment) {
      WithCacheType(task.layout->type, [&](auto cache) { Segment<decltype(cache)>(block, segment); });
      for (int row = block.begin; row < block.end; ++row)
        MergeState(block.StateOf(block.totals, row), block.StateOf(block.states, row), block.value_stride);
    }
    for (int row = block.begin; row < block.end; ++row) WriteOut(task, row, block.StateOf(block.totals, row));
  });
}

void AttendSegments(const AttentionTask& task, int64_t begin, int64_t end, float* states) {
  const int64_t first = VisibleTo(task, 0).begin / kAttentionSegment;
  ForRowBlocks(task, [&](RowBlock& block) {
    const int64_t all_rows = static_cast<int64_t>(task.heads) * task.queries;
    for (int64_t segment = begin; segment < end; ++segment) {
      block.states = states + ((segment - first) * all_rows + block.begin) * block.StateFloats();
      WithCacheType(task.layout->type, [&](auto cache) { Segment<decltype(cache)>(block, segment); });
    }
  });
}

void Merge(const AttentionTask& task, const float* states) {
  const int value_stride = PaddedTo16(task.layout->value_dim);
  const int rows = task.heads * task.queries;
  const int64_t floats = kAttentionStateHeader + value_stride;
  const int64_t first = VisibleTo(task, 0).begin / kAttentionSegment;
  const int64_t last = (VisibleTo(task, rows - 1).end - 1) / kAttentionSegment;
  const State total = {reinterpret_cast<float*>(task.scratch)};
  for (int row = 0; row < rows; ++row) {
    total.sum() = 0;
    for (int64_t segment = first; segment <= last; ++segment) {
      const float* next = states + ((segment - first) * rows + row) * floats;
      MergeState(total, State{const_cast<float*>(next)}, value_stride);
    }
    WriteOut(task, row, total);
  }
}

constexpr AttentionKernels kAttentionKernels = {
    .store = StoreToken,
    .rotate_keys = RotateKeys,
    .attend = Attend,
    .attend_segments = AttendSegments,
    .merge = Merge,
};

}  // namespace
}  // namespace llm
