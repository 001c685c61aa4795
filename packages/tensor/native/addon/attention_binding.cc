#include <algorithm>
#include <cstring>
#include <vector>

#include "addon/attention_arguments.h"
#include "addon/bindings.h"
#include "addon/matrix_arguments.h"
#include "cpu/features.h"
#include "kernels/attention_kernels.h"
#include "kernels/select.h"
#include "memory/memory.h"

namespace llm {
namespace {

// (isa, cacheType, shape, q, k, v, alibi or undefined, blockOrder, out, angles or undefined)
//
// q [queries][heads][keyDim], k [tokens][kvHeads][keyDim], v [tokens][kvHeads][valueDim], out
// [queries][heads][valueDim]; the queries are the last of the tokens. blockOrder says where in memory every block of
// the sequence lies. shape has, beside these sizes, blockTokens, scale, softcap, window, queriesPerTask and parts: 0
// attends in one go, otherwise the segments are computed in so many parts and merged.
Napi::Value Attention(const Napi::CallbackInfo& info) {
  const KernelTable* table = FindKernels(info[0].As<Napi::String>().Utf8Value(), HostCpu());
  if (table == nullptr) return Fail(info.Env(), "UNSUPPORTED_ISA", "this CPU has no such kernels");
  const AttentionKernels& kernels = *table->attention;

  constexpr int kMost = 1 << 24;
  const Napi::Object shape = info[2].As<Napi::Object>();
  const int queries = WholeField(shape, "queries", kMost), tokens = WholeField(shape, "tokens", kMost);
  const int heads = WholeField(shape, "heads", kMost), kv_heads = WholeField(shape, "kvHeads", kMost);
  const int per_task = WholeField(shape, "queriesPerTask", kMost), parts = WholeField(shape, "parts", kMost);
  const int window = WholeField(shape, "window", INT32_MAX);
  KvLayout layout = {KvType::kF32, WholeField(shape, "blockTokens", kMost), WholeField(shape, "keyDim", kMost),
                     WholeField(shape, "valueDim", kMost)};
  if (!FindKvType(info[1].As<Napi::String>().Utf8Value(), &layout.type) || !layout.Valid() || queries < 1 ||
      tokens < queries || kv_heads < 1 || heads < 1 || heads % kv_heads != 0 || per_task < 1 || parts < 0 || window < 0)
    return Fail(info.Env(), "INVALID_ARGUMENT", "the shape of the attention makes no sense");

  const int group = heads / kv_heads;
  const int blocks = (tokens + layout.block_tokens - 1) / layout.block_tokens;
  float *q, *k, *v, *alibi, *out;
  int32_t* order;
  if (!ReadArray(info, 3, int64_t{queries} * heads * layout.key_dim, true, "q", &q) ||
      !ReadArray(info, 4, int64_t{tokens} * kv_heads * layout.key_dim, true, "k", &k) ||
      !ReadArray(info, 5, int64_t{tokens} * kv_heads * layout.value_dim, true, "v", &v) ||
      !ReadArray(info, 6, heads, !info[6].IsUndefined(), "alibi", &alibi) ||
      !ReadArray(info, 7, blocks, true, "blockOrder", &order) ||
      !ReadArray(info, 8, int64_t{queries} * heads * layout.value_dim, true, "out", &out))
    return {};

  float* angles;
  const int64_t rotary = info[9].IsTypedArray() ? info[9].As<Napi::TypedArray>().ElementLength() : 0;
  if (!ReadArray(info, 9, rotary, rotary > 0, "angles", &angles)) return {};
  if (rotary > layout.key_dim || rotary % 2 != 0)
    return Fail(info.Env(), "INVALID_ARGUMENT", "there are more angles than pairs of values in a key");

  const size_t block_bytes = layout.HeadBytes() * static_cast<size_t>(kv_heads);
  const auto cache = AllocateMemory(block_bytes * static_cast<size_t>(blocks));
  const auto scratch = AllocateMemory(AttentionScratchBytes(layout, group, per_task));
  if (cache == nullptr || scratch == nullptr) return Fail(info.Env(), "OUT_OF_MEMORY", "the system refused memory");
  // What nobody has stored must not matter: all bits set is NaN in every float format.
  std::memset(cache->data(), 0xff, cache->size());
  std::vector<uint8_t*> block_table;
  for (int i = 0; i < blocks; ++i) {
    if (order[i] < 0 || order[i] >= blocks) return Fail(info.Env(), "INVALID_ARGUMENT", "blockOrder names no block");
    block_table.push_back(cache->data() + static_cast<size_t>(order[i]) * block_bytes);
  }

  std::vector<float> states;
  for (int head = 0; head < kv_heads; ++head) {
    const size_t offset = layout.HeadBytes() * static_cast<size_t>(head);
    for (int t = 0; t < tokens; ++t) {
      const int64_t row = int64_t{t} * kv_heads + head;
      kernels.store(layout, block_table.data(), offset, t, k + row * layout.key_dim, v + row * layout.value_dim);
    }
    for (int i = 0; angles != nullptr && i < blocks; ++i) {
      const int held = std::min(layout.block_tokens, tokens - i * layout.block_tokens);
      kernels.rotate_keys(layout, block_table[i], offset, held, angles, static_cast<int>(rotary),
                          WholeField(shape, "interleaved", 1));
    }
    for (int first = 0; first < queries; first += per_task) {
      AttentionTask task = {};
      task.layout = &layout;
      task.blocks = block_table.data();
      task.head_offset = offset;
      task.q_row_stride = int64_t{heads} * layout.key_dim;
      task.q_head_stride = layout.key_dim;
      task.q = q + first * task.q_row_stride + int64_t{head} * group * layout.key_dim;
      task.heads = group;
      task.queries = per_task < queries - first ? per_task : queries - first;
      task.first_position = tokens - queries + first;
      task.scale = static_cast<float>(NumberField(shape, "scale"));
      task.softcap = static_cast<float>(NumberField(shape, "softcap"));
      task.window = window;
      task.alibi_slopes = alibi == nullptr ? nullptr : alibi + int64_t{head} * group;
      task.out_row_stride = int64_t{heads} * layout.value_dim;
      task.out_head_stride = layout.value_dim;
      task.out = out + first * task.out_row_stride + int64_t{head} * group * layout.value_dim;
      task.scratch = scratch->data();
      if (parts == 0) {
        kernels.attend(task);
        continue;
      }
      const int64_t begin = FirstSegment(task), count = EndSegment(task) - begin;
      states.assign(AttentionStateFloats(task) * static_cast<size_t>(count), 0);
      // The last part first: they do not depend on each other.
      for (int part = parts - 1; part >= 0; --part)
        kernels.attend_segments(task, begin + count * part / parts, begin + count * (part + 1) / parts, states.data());
      kernels.merge(task, states.data());
    }
  }
  return {};
}

}  // namespace

void DefineAttention(Napi::Env env, Napi::Object exports) {
  exports.Set("attention", Napi::Function::New(env, Attention, "attention"));
}

}  // namespace llm
