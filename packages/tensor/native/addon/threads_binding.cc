#include "addon/bindings.h"
#include "threads/pool.h"

namespace llm {
namespace {

// (threads, spin)
Napi::Value ResizePool(const Napi::CallbackInfo& info) {
  SharedPool().Resize(info[0].As<Napi::Number>().Int32Value(), info[1].As<Napi::Boolean>().Value());
  return {};
}

// (): number
Napi::Value PoolThreads(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), SharedPool().parts()); }

}  // namespace

void DefineThreads(Napi::Env env, Napi::Object exports) {
  exports.Set("resizePool", Napi::Function::New(env, ResizePool, "resizePool"));
  exports.Set("poolThreads", Napi::Function::New(env, PoolThreads, "poolThreads"));
}

}  // namespace llm
