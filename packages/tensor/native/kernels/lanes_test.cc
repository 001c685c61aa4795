// The vector and attention kernels of every table against the scalar ones, bit for bit.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#include "cpu/features.h"
#include "kernels/attention_kernels.h"
#include "kernels/vector_kernels.h"
#include "targets/targets.h"
#include "testing/check.h"

namespace llm {
namespace {

struct Tables {
  const char* isa;
  const VectorKernels& vector;
  const AttentionKernels& attention;
};

std::vector<Tables> RunnableTables() {
  std::vector<Tables> tables;
#if defined(__x86_64__)
  if (HostCpu().avx2) tables.push_back({"avx2", kAvx2Vector, kAvx2Attention});
  if (HostCpu().avx512f) tables.push_back({"avx512f", kAvx512fVector, kAvx512fAttention});
#elif defined(__aarch64__)
  tables.push_back({"neon", kNeonVector, kNeonAttention});
#endif
  return tables;
}

using Floats = std::vector<float>;

bool Same(const Floats& a, const Floats& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

// Numbers of every size, a few of them special.
Floats Varied(size_t n, std::mt19937& random) {
  constexpr float kSpecial[] = {0, -0.0f, 1, -1, 88.7f, -87.4f, -103.9f, 1e-40f, 65504, 65520, 6e-8f, 127, -127.5f};
  Floats values(n);
  for (float& value : values) {
    const uint32_t kind = random() % 8;
    const float size = std::ldexp(1.0f, static_cast<int>(random() % 40) - 20);
    const float uniform = static_cast<float>(static_cast<int32_t>(random())) * 0x1p-31f;
    value = kind == 0 ? kSpecial[random() % std::size(kSpecial)] : kind < 5 ? uniform * size : uniform * 4;
  }
  return values;
}

void CheckVectors(const Tables& tables) {
  std::mt19937 random(1);
  const VectorKernels &k = tables.vector, &s = kScalarVector;
  for (int n = 0; n < 200; ++n) {
    const Floats x = Varied(n, random), y = Varied(n, random);
    const auto both = [&](const char* name, auto call) {
      Floats a = y, b = y;
      call(k, a.data());
      call(s, b.data());
      if (!Same(a, b)) std::printf("%s: %s differs at n = %d\n", tables.isa, name, n);
      CHECK(Same(a, b));
    };
    const float *p = x.data(), *q = y.data();
    both("add", [&](const VectorKernels& t, float* out) { t.add(p, q, n, out); });
    both("mul", [&](const VectorKernels& t, float* out) { t.mul(p, q, n, out); });
    both("axpy", [&](const VectorKernels& t, float* out) { t.axpy(p, 0.3f, n, out); });
    both("clamp", [&](const VectorKernels& t, float* out) { t.clamp(p, -1, 2, n, out); });
    both("softcap", [&](const VectorKernels& t, float* out) { t.softcap(p, 3, n, out); });
    both("exp", [&](const VectorKernels& t, float* out) { t.exp(p, n, out); });
    both("tanh", [&](const VectorKernels& t, float* out) { t.tanh(p, n, out); });
    both("silu_mul", [&](const VectorKernels& t, float* out) { t.silu_mul(p, q, n, out); });
    both("gelu_mul", [&](const VectorKernels& t, float* out) { t.gelu_mul(p, q, n, out); });
    both("gelu_tanh_mul", [&](const VectorKernels& t, float* out) { t.gelu_tanh_mul(p, q, n, out); });
    both("relu_mul", [&](const VectorKernels& t, float* out) { t.relu_mul(p, q, n, out); });
    if (n == 0) continue;
    both("rms_norm", [&](const VectorKernels& t, float* out) { t.rms_norm(p, q, 1e-5f, n, out); });
    both("layer_norm", [&](const VectorKernels& t, float* out) { t.layer_norm(p, q, q, 1e-5f, n, out); });
    const int pairs = n / 4;  // of twice as many values, at most n
    both("rope", [&](const VectorKernels& t, float* out) { t.rope(out, p, 2 * pairs, 0); });
    both("rope", [&](const VectorKernels& t, float* out) { t.rope(out, p, 2 * pairs, 1); });
    both("reductions", [&](const VectorKernels& t, float* out) {
      out[0] = t.sum(p, n) + t.max(p, n) + static_cast<float>(t.argmax(p, n)) + t.exp_sum(q, t.max(q, n), 0.5f, n, out);
    });
    std::vector<int32_t> a(n, -1), b(n, -1);
    CHECK(k.at_least(p, 0.1f, n, a.data(), n) == s.at_least(p, 0.1f, n, b.data(), n));
    CHECK(a == b);
    Floats bad = x;
    bad[random() % n] = std::numeric_limits<float>::quiet_NaN();
    CHECK(k.all_finite(p, n) && !k.all_finite(bad.data(), n));
  }
}

// One table fills a cache, turns its keys and attends; all of it must be what scalar does.
struct Run {
  std::vector<uint8_t> cache;
  Floats out;
};

Run Attend(const AttentionKernels& kernels, const KvLayout& layout, int heads, int queries, int tokens,
           int64_t window) {
  std::mt19937 random(static_cast<uint32_t>(tokens));
  const int blocks = (tokens + layout.block_tokens - 1) / layout.block_tokens;
  Run run;
  run.cache.resize(layout.HeadBytes() * blocks + 64);
  uint8_t* const base = run.cache.data() + (64 - reinterpret_cast<uintptr_t>(run.cache.data()) % 64) % 64;
  std::vector<uint8_t*> table;
  for (int i = 0; i < blocks; ++i) table.push_back(base + layout.HeadBytes() * i);
  std::normal_distribution<float> normal;
  const auto values = [&](int64_t n) {
    Floats made(static_cast<size_t>(n));
    for (float& value : made) value = normal(random);
    return made;
  };
  for (int t = 0; t < tokens; ++t)
    kernels.store(layout, table.data(), 0, t, values(layout.key_dim).data(), values(layout.value_dim).data());
  const Floats angles = values(layout.key_dim / 2 * 2);
  kernels.rotate_keys(layout, table[0], 0, layout.block_tokens, angles.data(), layout.key_dim / 2 * 2, tokens % 2);
  const Floats q = values(int64_t{heads} * queries * layout.key_dim), slopes = values(heads);
  run.out.resize(static_cast<size_t>(heads) * queries * layout.value_dim);
  std::vector<uint8_t> scratch(AttentionScratchBytes(layout, heads, queries) + 64);
  AttentionTask task = {};
  task.layout = &layout;
  task.blocks = table.data();
  task.q = q.data();
  task.q_head_stride = layout.key_dim;
  task.q_row_stride = int64_t{heads} * layout.key_dim;
  task.heads = heads;
  task.queries = queries;
  task.first_position = tokens - queries;
  task.scale = 0.2f;
  task.softcap = tokens % 3 == 0 ? 5.0f : 0.0f;
  task.window = window;
  task.alibi_slopes = tokens % 4 == 0 ? slopes.data() : nullptr;
  task.out = run.out.data();
  task.out_head_stride = layout.value_dim;
  task.out_row_stride = int64_t{heads} * layout.value_dim;
  task.scratch = scratch.data() + (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64;
  kernels.attend(task);
  // Where the memory begins differs from run to run.
  run.cache.assign(base, base + layout.HeadBytes() * blocks);
  return run;
}

void CheckAttention(const Tables& tables) {
  for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kBf16, KvType::kInt8})
    for (const auto& [key_dim, value_dim, heads] :
         {std::tuple{32, 32, 4}, std::tuple{20, 37, 1}, std::tuple{80, 64, 7}})
      for (const auto& [queries, tokens] : {std::pair{1, 5}, std::pair{1, 300}, std::pair{9, 132}, std::pair{20, 66}}) {
        const KvLayout layout = {type, 32, key_dim, value_dim};
        const int64_t window = tokens == 132 ? 40 : 0;
        const Run got = Attend(tables.attention, layout, heads, queries, tokens, window);
        const Run wanted = Attend(kScalarAttention, layout, heads, queries, tokens, window);
        CHECK(got.cache == wanted.cache);
        CHECK(Same(got.out, wanted.out));
      }
}

}  // namespace
}  // namespace llm

int main() {
  for (const llm::Tables& tables : llm::RunnableTables()) {
    llm::CheckVectors(tables);
    llm::CheckAttention(tables);
    std::printf("lanes: %s gives the bits of scalar\n", tables.isa);
  }
  return 0;
}
