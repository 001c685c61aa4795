#include <algorithm>
#include <cstring>

#include "addon/bindings.h"
#include "addon/matrix_arguments.h"
#include "addon/matrix_handle.h"
#include "cpu/features.h"
#include "kernels/select.h"
#include "threads/pool.h"

namespace llm {
namespace {

struct Call {
  const KernelTable* table;
  Compute compute;
  const Weight* weight;
  int span;
  const float* x;
  int rows;
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
  *compute = name == "int8" ? Compute::kInt8 : name == "bf16" ? Compute::kBf16 : Compute::kF32;
  return name == "int8" || name == "bf16" || name == "f32";
}

// (matrix, x, rows, compute, span, isa, threads, out); span and threads may be 0, for the default
Napi::Value Matmul(const Napi::CallbackInfo& info) {
  const Weight* const weight = UnwrapMatrix(info[0]);
  if (weight == nullptr) return {};
  Call call = {};
  call.weight = weight;
  call.rows = info[2].As<Napi::Number>().Int32Value();
  call.span = info[4].As<Napi::Number>().Int32Value();
  const int threads = info[6].As<Napi::Number>().Int32Value();
  if (call.rows < 0 || call.span < 0 || call.span % kOctet != 0 || threads < 0 ||
      !FindCompute(info[3].As<Napi::String>().Utf8Value(), &call.compute))
    return Fail(info.Env(), "INVALID_ARGUMENT", "rows, compute, span or threads make no sense");
  call.table = FindKernels(info[5].As<Napi::String>().Utf8Value(), HostCpu());
  if (call.table == nullptr) return Fail(info.Env(), "UNSUPPORTED_ISA", "this CPU has no such kernels");
  float* x;
  if (!ReadArray(info, 1, call.rows * weight->columns, true, "x", &x) ||
      !ReadArray(info, 7, call.rows * weight->rows, true, "out", &call.out) || call.rows == 0)
    return {};
  call.x = x;

  const int parts = threads == 0 ? SharedPool().parts() : threads;
  call.scratch_bytes = Aligned(MatmulScratchBytes(call.compute, *weight, call.rows));
  const size_t prepared_bytes = Aligned(PreparedBytes(call.compute, *weight, call.rows, call.span));
  const size_t padded_bytes = sizeof(float) * kBlockRows * call.rows * parts;
  const auto memory = AllocateMemory(prepared_bytes + call.scratch_bytes * parts + padded_bytes);
  if (memory == nullptr) return Fail(info.Env(), "OUT_OF_MEMORY", "the system refused memory");
  call.prepared = memory->data();
  call.scratch = call.prepared + prepared_bytes;
  call.padded = reinterpret_cast<float*>(call.scratch + call.scratch_bytes * parts);
  SharedPool().Run(Multiply, &call, parts);
  return {};
}

}  // namespace

void DefineMatmul(Napi::Env env, Napi::Object exports) {
  exports.Set("matmul", Napi::Function::New(env, Matmul, "matmul"));
}

}  // namespace llm
