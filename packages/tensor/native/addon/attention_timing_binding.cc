// Measures what attention costs by itself, for timeAttention().
#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include "addon/attention_arguments.h"
#include "addon/bindings.h"
#include "addon/failure.h"
#include "cpu/features.h"
#include "kernels/attention_kernels.h"
#include "kernels/select.h"
#include "memory/memory.h"
#include "threads/pool.h"

namespace llm {
namespace {

// One step of every layer: the KV heads and, where they are fewer than the threads, their segments are spread over the
// pool's parts.
struct Step {
  const AttentionKernels* kernels;
  KvLayout layout;
  std::vector<const uint8_t*> blocks;
  int layers, heads, kv_heads, queries;
  int64_t tokens;
  std::vector<float> q, out;
  uint8_t* scratch;
  size_t scratch_bytes;
  std::vector<float> states;
  size_t state_floats;  // of one KV head
  bool split;

  AttentionTask TaskOf(int layer, int kv_head, int part) const {
    const int group = heads / kv_heads;
    AttentionTask task = {};
    task.layout = &layout;
    task.blocks = blocks.data();
    task.head_offset = layout.HeadBytes() * static_cast<size_t>(layer * kv_heads + kv_head);
    task.q = q.data() + int64_t{kv_head} * group * layout.key_dim;
    task.q_row_stride = int64_t{heads} * layout.key_dim;
    task.q_head_stride = layout.key_dim;
    task.heads = group;
    task.queries = queries;
    task.first_position = tokens - queries;
    task.scale = 1 / std::sqrt(static_cast<float>(layout.key_dim));
    task.out = const_cast<float*>(out.data()) + int64_t{kv_head} * group * layout.value_dim;
    task.out_row_stride = int64_t{heads} * layout.value_dim;
    task.out_head_stride = layout.value_dim;
    task.scratch = scratch + scratch_bytes * static_cast<size_t>(part);
    return task;
  }
};

void RunStep(void* context, int part, int parts) {
  Step& step = *static_cast<Step*>(context);
  for (int layer = 0; layer < step.layers; ++layer) {
    if (!step.split) {
      for (int head = part; head < step.kv_heads; head += parts) step.kernels->attend(step.TaskOf(layer, head, part));
    } else {
      for (int head = 0; head < step.kv_heads; ++head) {
        const AttentionTask task = step.TaskOf(layer, head, part);
        const int64_t first = FirstSegment(task), count = EndSegment(task) - first;
        step.kernels->attend_segments(task, first + count * part / parts, first + count * (part + 1) / parts,
                                      step.states.data() + step.state_floats * static_cast<size_t>(head));
      }
      SharedPool().Barrier(part, parts);
      for (int head = part; head < step.kv_heads; head += parts)
        step.kernels->merge(step.TaskOf(layer, head, part),
                            step.states.data() + step.state_floats * static_cast<size_t>(head));
    }
    SharedPool().Barrier(part, parts);
  }
}

// (isa, cacheType, shape, repeats, threads): seconds of each step, Float64Array; shape as for attention(), and layers.
Napi::Value AttentionSeconds(const Napi::CallbackInfo& info) {
  const KernelTable* table = FindKernels(info[0].As<Napi::String>().Utf8Value(), HostCpu());
  if (table == nullptr) return Fail(info.Env(), "UNSUPPORTED_ISA", "this CPU has no such kernels");
  constexpr int kMost = 1 << 20;
  const Napi::Object shape = info[2].As<Napi::Object>();
  Step step = {};
  step.kernels = table->attention;
  step.layers = WholeField(shape, "layers", kMost);
  step.heads = WholeField(shape, "heads", kMost);
  step.kv_heads = WholeField(shape, "kvHeads", kMost);
  step.queries = WholeField(shape, "queries", kMost);
  step.tokens = WholeField(shape, "tokens", kMost);
  step.layout = {KvType::kF32, WholeField(shape, "blockTokens", kMost), WholeField(shape, "keyDim", kMost),
                 WholeField(shape, "valueDim", kMost)};
  const int repeats = info[3].As<Napi::Number>().Int32Value();
  const int threads = info[4].As<Napi::Number>().Int32Value();
  if (!FindKvType(info[1].As<Napi::String>().Utf8Value(), &step.layout.type) || !step.layout.Valid() ||
      step.layers < 1 || step.kv_heads < 1 || step.heads < 1 || step.heads % step.kv_heads != 0 || step.queries < 1 ||
      step.tokens < step.queries || repeats < 1 || threads < 1)
    return Fail(info.Env(), "INVALID_ARGUMENT", "the shape of the attention makes no sense");

  const size_t block_bytes = step.layout.HeadBytes() * static_cast<size_t>(step.layers * step.kv_heads);
  const int64_t blocks = (step.tokens + step.layout.block_tokens - 1) / step.layout.block_tokens;
  const auto cache = AllocateMemory(block_bytes * static_cast<size_t>(blocks));
  const int group = step.heads / step.kv_heads;
  step.scratch_bytes = AttentionScratchBytes(step.layout, group, step.queries);
  const auto scratch = AllocateMemory(step.scratch_bytes * static_cast<size_t>(threads));
  if (cache == nullptr || scratch == nullptr) return Fail(info.Env(), "OUT_OF_MEMORY", "the system refused memory");
  step.scratch = scratch->data();
  std::vector<uint8_t*> table_of_blocks;
  for (int64_t i = 0; i < blocks; ++i) table_of_blocks.push_back(cache->data() + static_cast<size_t>(i) * block_bytes);
  step.blocks.assign(table_of_blocks.begin(), table_of_blocks.end());
  std::vector<float> row(static_cast<size_t>(std::max(step.layout.key_dim, step.layout.value_dim)));
  for (int64_t t = 0; t < step.tokens; ++t) {
    for (size_t d = 0; d < row.size(); ++d) row[d] = std::sin(static_cast<float>(7 * t + static_cast<int64_t>(d)));
    for (int head = 0; head < step.layers * step.kv_heads; ++head)
      step.kernels->store(step.layout, table_of_blocks.data(), step.layout.HeadBytes() * static_cast<size_t>(head), t,
                          row.data(), row.data());
  }
  step.q.assign(static_cast<size_t>(step.queries) * step.heads * step.layout.key_dim, 0.1f);
  step.out.resize(static_cast<size_t>(step.queries) * step.heads * step.layout.value_dim);
  const AttentionTask any = step.TaskOf(0, 0, 0);
  step.split = step.kv_heads % threads != 0;
  step.state_floats = AttentionStateFloats(any) * static_cast<size_t>(EndSegment(any) - FirstSegment(any));
  if (step.split) step.states.resize(step.state_floats * static_cast<size_t>(step.kv_heads));

  Napi::Float64Array seconds = Napi::Float64Array::New(info.Env(), static_cast<size_t>(repeats));
  for (int i = -1; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    SharedPool().Run(RunStep, &step, threads);
    if (i < 0) continue;  // the first touches the pages
    seconds[static_cast<size_t>(i)] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  return seconds;
}

// (cacheType, blockTokens, keyDim, valueDim): bytes of a block's keys and values of one KV head and layer
Napi::Value AttentionHeadBytes(const Napi::CallbackInfo& info) {
  KvLayout layout = {KvType::kF32, info[1].As<Napi::Number>().Int32Value(), info[2].As<Napi::Number>().Int32Value(),
                     info[3].As<Napi::Number>().Int32Value()};
  if (!FindKvType(info[0].As<Napi::String>().Utf8Value(), &layout.type) || !layout.Valid())
    return Fail(info.Env(), "INVALID_ARGUMENT", "no cache has this shape");
  return Napi::Number::New(info.Env(), static_cast<double>(layout.HeadBytes()));
}

}  // namespace

void DefineAttentionTiming(Napi::Env env, Napi::Object exports) {
  exports.Set("attentionSeconds", Napi::Function::New(env, AttentionSeconds, "attentionSeconds"));
  exports.Set("attentionHeadBytes", Napi::Function::New(env, AttentionHeadBytes, "attentionHeadBytes"));
}

}  // namespace llm
