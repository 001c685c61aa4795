#include <string_view>

#include "addon/bindings.h"
#include "cpu/features.h"
#include "kernels/select.h"

namespace llm {
namespace {

// (): string[]
Napi::Value CpuFeatureNames(const Napi::CallbackInfo& info) {
  const CpuFeatures& cpu = HostCpu();
  Napi::Array names = Napi::Array::New(info.Env());
  for (const FeatureName& feature : FeatureNames())
    if (cpu.*feature.present) names.Set(names.Length(), Napi::String::New(info.Env(), feature.name));
  return names;
}

// (): { isa: string, runnable: boolean }[]
Napi::Value KernelTableNames(const Napi::CallbackInfo& info) {
  Napi::Array tables = Napi::Array::New(info.Env());
  std::string_view listed;
  const auto all = CompiledTables();
  for (size_t i = 0; i < all.size(); ++i) {
    const CompiledTable& compiled = all[i];
    // Of tables of one name, neighbours, one is listed: the first that runs here, or else the last.
    const std::string_view isa = compiled.kernels.isa;
    if (isa == listed) continue;
    if (!compiled.RunsOn(HostCpu()) && i + 1 < all.size() && isa == all[i + 1].kernels.isa) continue;
    listed = isa;
    Napi::Object table = Napi::Object::New(info.Env());
    table.Set("isa", Napi::String::New(info.Env(), compiled.kernels.isa));
    table.Set("runnable", Napi::Boolean::New(info.Env(), compiled.RunsOn(HostCpu())));
    tables.Set(tables.Length(), table);
  }
  return tables;
}

}  // namespace

void DefineCpu(Napi::Env env, Napi::Object exports) {
  exports.Set("cpuFeatures", Napi::Function::New(env, CpuFeatureNames, "cpuFeatures"));
  exports.Set("kernelTables", Napi::Function::New(env, KernelTableNames, "kernelTables"));
}

}  // namespace llm
