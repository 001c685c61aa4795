#include <memory>
#include <string>

#include "addon/background.h"
#include "addon/bindings.h"
#include "addon/failure.h"
#include "cpu/features.h"
#include "kernels/select.h"
#include "probe/probe.h"
#include "threads/pool.h"

namespace llm {
namespace {

const KernelTable* TableOf(const Napi::CallbackInfo& info) {
  const KernelTable* const table = FindKernels(info[0].As<Napi::String>().Utf8Value(), HostCpu());
  if (table == nullptr) Fail(info.Env(), "UNSUPPORTED_ISA", "this CPU has no kernels of that name");
  return table;
}

// The pool of WebAssembly may have fewer threads than were asked for.
int PartsOf(Napi::Value threads) {
  const int wanted = threads.As<Napi::Number>().Int32Value();
  return wanted < 1 ? SharedPool().parts() : wanted;
}

// (isa, threads, bytes): promise of bytes per second
Napi::Value ProbeReadBandwidth(const Napi::CallbackInfo& info) {
  const KernelTable* const table = TableOf(info);
  if (table == nullptr) return {};
  const int parts = PartsOf(info[1]);
  const double bytes = info[2].As<Napi::Number>().DoubleValue();
  auto measured = std::make_shared<double>(0);
  const auto work = [=]() -> TaskFailure {
    *measured = MeasureReadBandwidth(*table, parts, static_cast<size_t>(bytes));
    return *measured > 0 ? TaskFailure{} : TaskFailure{"OUT_OF_MEMORY", "no memory to read", bytes};
  };
  return RunInBackground(info.Env(), {}, work, [measured](Napi::Env env) { return Napi::Number::New(env, *measured); });
}

// (isa, kind, threads): promise of operations per second
Napi::Value ProbePeak(const Napi::CallbackInfo& info) {
  const KernelTable* const table = TableOf(info);
  if (table == nullptr) return {};
  const std::string name = info[1].As<Napi::String>().Utf8Value();
  const PeakKind kind = name == "int8" ? PeakKind::kInt8 : name == "f32" ? PeakKind::kF32 : PeakKind::kBf16;
  const int parts = PartsOf(info[2]);
  auto measured = std::make_shared<double>(0);
  const auto work = [=]() -> TaskFailure {
    *measured = MeasurePeak(*table, kind, parts);
    return {};
  };
  return RunInBackground(info.Env(), {}, work, [measured](Napi::Env env) { return Napi::Number::New(env, *measured); });
}

}  // namespace

void DefineProbe(Napi::Env env, Napi::Object exports) {
  exports.Set("probeReadBandwidth", Napi::Function::New(env, ProbeReadBandwidth, "probeReadBandwidth"));
  exports.Set("probePeak", Napi::Function::New(env, ProbePeak, "probePeak"));
}

}  // namespace llm
