#include "operators/causal_attention.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "blas/gemm.h"
#include "kernels/vector_kernels.h"
#include "threads/pool.h"

namespace llm {
namespace {

// Below this many multiplications waking other threads costs more than they help.
constexpr int64_t kWorthwhile = int64_t{1} << 18;

// What one thread needs, kept from one call to the next.
struct Space {
  Workspace packing, scores;
};

// One per part of the pool. Used by the background thread alone.
std::vector<std::unique_ptr<Space>>& Spaces() {
  static auto* const spaces = new std::vector<std::unique_ptr<Space>>;
  return *spaces;
}

// One key/value head of one sequence.
struct Unit {
  int64_t token;
  int length, kv_head;
};

std::vector<Unit> UnitsOf(const CausalAttention& task) {
  std::vector<Unit> units;
  int64_t token = 0;
  for (int s = 0; s < task.sequences; ++s) {
    for (int head = 0; head < task.kv_heads; ++head) units.push_back({token, task.lengths[s], head});
    token += task.lengths[s];
  }
  return units;
}

// Calls visit(unit, space), which returns whether there was memory, for all units.
template <typename Visit>
bool ForUnits(const CausalAttention& task, const Visit& visit) {
  const std::vector<Unit> units = UnitsOf(task);
  int64_t multiplications = 0;
  for (const Unit& unit : units) multiplications += int64_t{unit.length} * unit.length * task.head_dim;
  const int wanted = multiplications < kWorthwhile ? 1 : SharedPool().parts();
  const int parts = std::max(1, std::min<int>(wanted, static_cast<int>(units.size())));
  while (Spaces().size() < static_cast<size_t>(parts)) Spaces().push_back(std::make_unique<Space>());
  struct Context {
    const std::vector<Unit>* units;
    const Visit* visit;
    std::atomic<size_t> next{0};
    std::atomic<bool> failed{false};
  } context{&units, &visit};
  const Pool::Job job = [](void* data, int part, int) {
    Context& it = *static_cast<Context*>(data);
    for (size_t i = it.next++; i < it.units->size(); i = it.next++)
      if (!(*it.visit)((*it.units)[i], *Spaces()[part])) it.failed = true;
  };
  SharedPool().Run(job, &context, parts);
  return !context.failed;
}

// The rows of one head, of a matrix with `heads` of them beside each other.
struct Heads {
  int64_t row;
  int head_dim;

  MatrixView<float> Of(const float* x, const Unit& unit, int head) const {
    return {x + unit.token * row + int64_t{head} * head_dim, row, 1};
  }
  float* At(float* x, const Unit& unit, int head) const { return x + unit.token * row + int64_t{head} * head_dim; }
};

int FirstKey(const CausalAttention& task, int query) {
  return task.window == 0 ? 0 : std::max(0, query - task.window + 1);
}

// Turns products q . k [n, n] into probabilities, in place; zeros where nothing is seen.
void Softmax(const VectorKernels& kernels, const CausalAttention& task, int n, float* scores) {
  for (int query = 0; query < n; ++query) {
    float* const row = scores + int64_t{query} * n;
    const int first = FirstKey(task, query), count = query + 1 - first;
    const float sum = kernels.exp_sum(row + first, kernels.max(row + first, count), task.scale, count, row + first);
    kernels.scale(row + first, 1 / sum, count, row + first);
    std::fill(row, row + first, 0.0f);
    std::fill(row + query + 1, row + n, 0.0f);
  }
}

void SoftmaxBackward(const VectorKernels& kernels, const CausalAttention& task, int n, const float* probabilities,
                     float* gradient) {
  for (int query = 0; query < n; ++query) {
    const int64_t at = int64_t{query} * n;
    const int first = FirstKey(task, query);
    kernels.softmax_gradient(probabilities + at + first, task.scale, query + 1 - first, gradient + at + first);
    std::fill(gradient + at, gradient + at + first, 0.0f);
    std::fill(gradient + at + query + 1, gradient + at + n, 0.0f);
  }
}

}  // namespace

bool Attend(const KernelTable& table, const CausalAttention& task, float* out) {
  const int group = task.heads / task.kv_heads, dim = task.head_dim;
  const Heads queries{int64_t{task.heads} * dim, dim}, keys{int64_t{task.kv_heads} * dim, dim};
  return ForUnits(task, [&](const Unit& unit, Space& space) {
    const int n = unit.length;
    auto* const scores = reinterpret_cast<float*>(space.scores.Reserve(sizeof(float) * n * n));
    if (scores == nullptr) return false;
    const MatrixView<float> k = keys.Of(task.k, unit, unit.kv_head), v = keys.Of(task.v, unit, unit.kv_head);
    const MatrixView<float> p{scores, n, 1};
    for (int head = unit.kv_head * group; head < (unit.kv_head + 1) * group; ++head) {
      const MatrixView<float> q = queries.Of(task.q, unit, head);
      const Product<float> products = {
          .m = n, .n = n, .k = dim, .a = q, .b = k.Transposed(), .c = scores, .ldc = n, .lower = true};
      if (!MultiplyHere(table, space.packing, products)) return false;
      Softmax(*table.vector, task, n, scores);
      const Product<float> values = {
          .m = n, .n = dim, .k = n, .a = p, .b = v, .c = queries.At(out, unit, head), .ldc = queries.row};
      if (!MultiplyHere(table, space.packing, values)) return false;
    }
    return true;
  });
}

bool AttendBackward(const KernelTable& table, const CausalAttention& task, const float* dout, float* dq, float* dk,
                    float* dv) {
  const int group = task.heads / task.kv_heads, dim = task.head_dim;
  const Heads queries{int64_t{task.heads} * dim, dim}, keys{int64_t{task.kv_heads} * dim, dim};
  return ForUnits(task, [&](const Unit& unit, Space& space) {
    const int n = unit.length;
    const int64_t square = int64_t{n} * n;
    auto* const scores = reinterpret_cast<float*>(space.scores.Reserve(2 * sizeof(float) * square));
    if (scores == nullptr) return false;
    const MatrixView<float> k = keys.Of(task.k, unit, unit.kv_head), v = keys.Of(task.v, unit, unit.kv_head);
    const MatrixView<float> p{scores, n, 1}, ds{scores + square, n, 1};
    float* const to_k = keys.At(dk, unit, unit.kv_head);
    float* const to_v = keys.At(dv, unit, unit.kv_head);
    for (int head = unit.kv_head * group; head < (unit.kv_head + 1) * group; ++head) {
      const MatrixView<float> q = queries.Of(task.q, unit, head), d = queries.Of(dout, unit, head);
      const float beta = head == unit.kv_head * group ? 0 : 1;
      const auto multiply = [&](const Product<float>& product) { return MultiplyHere(table, space.packing, product); };
      if (!multiply({.m = n, .n = n, .k = dim, .a = q, .b = k.Transposed(), .c = scores, .ldc = n, .lower = true}))
        return false;
      Softmax(*table.vector, task, n, scores);
      if (!multiply(
              {.m = n, .n = dim, .k = n, .a = p.Transposed(), .b = d, .beta = beta, .c = to_v, .ldc = keys.row}) ||
          !multiply(
              {.m = n, .n = n, .k = dim, .a = d, .b = v.Transposed(), .c = scores + square, .ldc = n, .lower = true}))
        return false;
      SoftmaxBackward(*table.vector, task, n, scores, scores + square);
      if (!multiply({.m = n, .n = dim, .k = n, .a = ds, .b = k, .c = queries.At(dq, unit, head), .ldc = queries.row}) ||
          !multiply({.m = n, .n = dim, .k = n, .a = ds.Transposed(), .b = q, .beta = beta, .c = to_k, .ldc = keys.row}))
        return false;
    }
    return true;
  });
}

}  // namespace llm
