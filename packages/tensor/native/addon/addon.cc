// Everything that JavaScript can call, one function per file of this folder. The TypeScript side:
// src/backend/backend.ts.
#include "addon/bindings.h"

namespace llm {
namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  DefineCpu(env, exports);
  DefineStorage(env, exports);
  DefineMatrix(env, exports);
  DefinePacking(env, exports);
  DefineImports(env, exports);
  DefineMatmul(env, exports);
  DefineProgram(env, exports);
  DefineBlas(env, exports);
  DefineOperators(env, exports);
  DefineThreads(env, exports);
  DefineProbe(env, exports);
  DefineVector(env, exports);
  DefineAttention(env, exports);
  DefineAttentionTiming(env, exports);
  DefineGrammar(env, exports);
  DefineSampling(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(tensor, Init)

}  // namespace llm
