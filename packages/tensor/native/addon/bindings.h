// Each adds its functions and classes to the addon's exports. All state lives in objects of one JavaScript environment
// or in the process-wide pool, so worker threads share nothing else.
#pragma once

#include <napi.h>

namespace llm {

void DefineCpu(Napi::Env env, Napi::Object exports);              // cpu_binding.cc
void DefineStorage(Napi::Env env, Napi::Object exports);          // storage_binding.cc
void DefineMatrix(Napi::Env env, Napi::Object exports);           // matrix_binding.cc
void DefinePacking(Napi::Env env, Napi::Object exports);          // packing_binding.cc
void DefineImports(Napi::Env env, Napi::Object exports);          // import_binding.cc
void DefineMatmul(Napi::Env env, Napi::Object exports);           // matmul_binding.cc
void DefineProgram(Napi::Env env, Napi::Object exports);          // program_binding.cc
void DefineBlas(Napi::Env env, Napi::Object exports);             // blas_binding.cc
void DefineOperators(Napi::Env env, Napi::Object exports);        // operators_binding.cc
void DefineThreads(Napi::Env env, Napi::Object exports);          // threads_binding.cc
void DefineVector(Napi::Env env, Napi::Object exports);           // vector_binding.cc
void DefineAttention(Napi::Env env, Napi::Object exports);        // attention_binding.cc
void DefineAttentionTiming(Napi::Env env, Napi::Object exports);  // attention_timing_binding.cc
void DefineGrammar(Napi::Env env, Napi::Object exports);          // grammar_binding.cc
void DefineSampling(Napi::Env env, Napi::Object exports);         // sampling_binding.cc
void DefineProbe(Napi::Env env, Napi::Object exports);            // probe_binding.cc

}  // namespace llm
