#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "addon/bindings.h"
#include "addon/matrix_arguments.h"
#include "addon/matrix_handle.h"
#include "cpu/features.h"
#include "kernels/select.h"
#include "kernels/select_matmul.h"
#include "threads/pool.h"

namespace llm {
namespace {

struct Call {
  const KernelTable* table;
  Compute compute;
  const Weight* weight;
  int span;
  const float* x;
  int rows, parts;
  float* out;
  uint8_t* prepared;
  uint8_t* scratch;  // parts times scratch_bytes
  size_t scratch_bytes;
  float* padded;  // [rows][32] for each part: the last block of a matrix whose rows do not fill it
};

size_t Aligned(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

void Multiply(void* context, int part, int parts) {
  const Call& call = *static_cast<const Call*>(context);
  const Weight& weight = *call.weight;
  const int units = PrepareUnits(call.rows), blocks = Blocks(weight);
  Prepare(*call.table, call.compute, weight, call.span, call.x, weight.columns, call.rows, units * part / parts,
          units * (part + 1) / parts, call.prepared);
  SharedPool().Barrier(part, parts);

  const int begin = static_cast<int>(int64_t{blocks} * part / parts);
  const int end = static_cast<int>(int64_t{blocks} * (part + 1) / parts);
  const int whole = std::max(begin, std::min(end, static_cast<int>(weight.rows / kBlockRows)));
  uint8_t* const scratch = call.scratch + call.scratch_bytes * part;
  const auto blocks_to = [&](int first, int last, float* out, int64_t ldo) {
    MatmulBlocks(*call.table, call.compute, weight, call.span, call.x, weight.columns, call.prepared, call.rows, first,
                 last, out, ldo, scratch);
  };
  if (begin < whole) blocks_to(begin, whole, call.out + int64_t{begin} * kBlockRows, weight.rows);
  if (whole == end) return;
  float* const padded = call.padded + int64_t{call.rows} * kBlockRows * part;
  blocks_to(whole, end, padded, kBlockRows);
  const int64_t first = int64_t{whole} * kBlockRows, count = weight.rows - first;
  for (int r = 0; r < call.rows; ++r)
    std::memcpy(call.out + r * weight.rows + first, padded + int64_t{r} * kBlockRows, sizeof(float) * count);
}

bool FindCompute(const std::string& name, Compute* compute) {
  *compute = name == "int8"   ? Compute::kInt8
             : name == "bf16" ? Compute::kBf16
             : name == "f16"  ? Compute::kF16
                              : Compute::kF32;
  return name == "int8" || name == "bf16" || name == "f16" || name == "f32";
}

// The arguments (rows, compute, span, isa, threads) from the third on; span and threads may be 0, for the default.
bool ReadCall(const Napi::CallbackInfo& info, const Weight* weight, Call* call) {
  call->weight = weight;
  call->rows = info[2].As<Napi::Number>().Int32Value();
  call->span = info[4].As<Napi::Number>().Int32Value();
  const int threads = info[6].As<Napi::Number>().Int32Value();
  if (call->rows < 0 || call->span < 0 || call->span % kOctet != 0 || threads < 0 ||
      !FindCompute(info[3].As<Napi::String>().Utf8Value(), &call->compute)) {
    Fail(info.Env(), "INVALID_ARGUMENT", "rows, compute, span or threads make no sense");
    return false;
  }
  call->parts = threads == 0 ? SharedPool().parts() : threads;
  call->table = FindKernels(info[5].As<Napi::String>().Utf8Value(), HostCpu());
  if (call->table == nullptr) Fail(info.Env(), "UNSUPPORTED_ISA", "this CPU has no such kernels");
  return call->table != nullptr;
}

// Everything but x and out. Null if the system refuses.
std::shared_ptr<Memory> PlaceBuffers(Call* call) {
  call->scratch_bytes = Aligned(MatmulScratchBytes(call->compute, *call->weight, call->rows));
  const size_t prepared = Aligned(PreparedBytes(call->compute, *call->weight, call->rows, call->span));
  const size_t padded = sizeof(float) * kBlockRows * call->rows * call->parts;
  auto memory = AllocateMemory(prepared + call->scratch_bytes * call->parts + padded);
  if (memory == nullptr) return nullptr;
  call->prepared = memory->data();
  call->scratch = call->prepared + prepared;
  call->padded = reinterpret_cast<float*>(call->scratch + call->scratch_bytes * call->parts);
  return memory;
}

// (matrix, x, rows, compute, span, isa, threads, out)
Napi::Value Matmul(const Napi::CallbackInfo& info) {
  const Weight* const weight = UnwrapMatrix(info[0]);
  Call call = {};
  if (weight == nullptr || !ReadCall(info, weight, &call)) return {};
  float* x;
  if (!ReadArray(info, 1, call.rows * weight->columns, true, "x", &x) ||
      !ReadArray(info, 7, call.rows * weight->rows, true, "out", &call.out) || call.rows == 0)
    return {};
  call.x = x;
  const auto memory = PlaceBuffers(&call);
  if (memory == nullptr) return Fail(info.Env(), "OUT_OF_MEMORY", "the system refused memory");
  SharedPool().Run(Multiply, &call, call.parts);
  return {};
}

// (format, rows, columns, groupSize, compute, span, isa, rows of x): { kernel: string, reason: string }
Napi::Value SelectMatmulKernel(const Napi::CallbackInfo& info) {
  Weight weight;
  if (!ReadWeight(info, 0, &weight)) return {};
  Compute compute;
  const KernelTable* const table = FindKernels(info[6].As<Napi::String>().Utf8Value(), HostCpu());
  if (table == nullptr) return Fail(info.Env(), "UNSUPPORTED_ISA", "this CPU has no such kernels");
  if (!FindCompute(info[4].As<Napi::String>().Utf8Value(), &compute))
    return Fail(info.Env(), "INVALID_ARGUMENT", "there is no such compute type");
  const MatmulChoice choice = SelectMatmul(*table, compute, weight, info[5].As<Napi::Number>().Int32Value(),
                                           info[7].As<Napi::Number>().Int32Value());
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("kernel", Napi::String::New(info.Env(), NameOf(choice.path)));
  result.Set("reason", Napi::String::New(info.Env(), choice.reason));
  return result;
}

// (name): boolean; "" takes it back
Napi::Value ForceMatmul(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), ForceMatmulPath(info[0].As<Napi::String>().Utf8Value()));
}

// (name, rows): boolean
Napi::Value MatmulThreshold(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(
      info.Env(), SetMatmulThreshold(info[0].As<Napi::String>().Utf8Value(), info[1].As<Napi::Number>().Int32Value()));
}

// (matrices, x, rows, compute, span, isa, threads, repeats, most): seconds of each product, the matrices taken in turn;
// none is begun after `most` seconds, but for the first few
Napi::Value TimeMatmul(const Napi::CallbackInfo& info) {
  const auto matrices = info[0].As<Napi::Array>();
  Napi::Array seconds = Napi::Array::New(info.Env());
  const int repeats = info[7].As<Napi::Number>().Int32Value();
  const double most = info[8].As<Napi::Number>().DoubleValue();
  constexpr int kFew = 4;
  std::vector<const Weight*> weights;
  for (uint32_t i = 0; i < matrices.Length(); ++i) {
    Napi::Value matrix;
    if (!matrices.Get(i).UnwrapTo(&matrix)) return {};
    weights.push_back(UnwrapMatrix(matrix));
    if (weights.back() == nullptr) return {};
  }
  if (weights.empty()) return seconds;
  Call call = {};
  float* x;
  if (!ReadCall(info, weights[0], &call) || !ReadArray(info, 1, call.rows * weights[0]->columns, true, "x", &x))
    return {};
  call.x = x;
  const auto memory = PlaceBuffers(&call);
  const auto out = AllocateMemory(sizeof(float) * call.rows * weights[0]->rows);
  if (memory == nullptr || out == nullptr) return Fail(info.Env(), "OUT_OF_MEMORY", "the system refused memory");
  call.out = reinterpret_cast<float*>(out->data());
  double sum = 0;
  for (int i = 0; i < repeats && (i < kFew || sum < most); ++i) {
    call.weight = weights[i % weights.size()];
    if (call.weight->rows != weights[0]->rows || call.weight->columns != weights[0]->columns)
      return Fail(info.Env(), "SHAPE_MISMATCH", "the matrices must have the same shape");
    const auto start = std::chrono::steady_clock::now();
    SharedPool().Run(Multiply, &call, call.parts);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    sum += elapsed.count();
    seconds.Set(seconds.Length(), Napi::Number::New(info.Env(), elapsed.count()));
  }
  return seconds;
}

}  // namespace

void DefineMatmul(Napi::Env env, Napi::Object exports) {
  exports.Set("matmul", Napi::Function::New(env, Matmul, "matmul"));
  exports.Set("selectMatmul", Napi::Function::New(env, SelectMatmulKernel, "selectMatmul"));
  exports.Set("forceMatmul", Napi::Function::New(env, ForceMatmul, "forceMatmul"));
  exports.Set("setMatmulThreshold", Napi::Function::New(env, MatmulThreshold, "setMatmulThreshold"));
  exports.Set("timeMatmul", Napi::Function::New(env, TimeMatmul, "timeMatmul"));
}

}  // namespace llm
