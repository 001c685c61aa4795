#include <cmath>

#include "addon/bindings.h"
#include "addon/matrix_arguments.h"
#include "cpu/features.h"
#include "kernels/select.h"
#include "sampling/sampler.h"

namespace llm {
namespace {

Napi::Value Get(const Napi::Object& object, const char* name) {
  return object.Get(name).UnwrapOr(object.Env().Undefined());
}

float Number(const Napi::Object& object, const char* name) { return Get(object, name).As<Napi::Number>().FloatValue(); }

template <class T>
std::span<const T> Elements(const Napi::Value& value) {
  if (!value.IsTypedArray()) return {};
  const auto array = value.As<Napi::TypedArrayOf<T>>();
  return {array.Data(), array.ElementLength()};
}

// (isa, logits, options, history, promptTokens, draw, allowed or undefined, logProbability, topLogProbabilities):
// { token, logProbability, topTokens, topLogProbabilities }; logits are changed. The caller has checked the options'
// types and ranges.
Napi::Value SampleToken(const Napi::CallbackInfo& info) {
  const KernelTable* table = FindKernels(info[0].As<Napi::String>().Utf8Value(), HostCpu());
  if (table == nullptr) return Fail(info.Env(), "UNSUPPORTED_ISA", "this CPU has no such kernels");
  auto logits = info[1].As<Napi::Float32Array>();
  const auto vocabulary = static_cast<int>(logits.ElementLength());
  const Napi::Object from = info[2].As<Napi::Object>();
  SamplingOptions options;
  options.temperature = Number(from, "temperature");
  options.top_k = Get(from, "topK").As<Napi::Number>().Int32Value();
  options.top_p = Number(from, "topP");
  options.min_p = Number(from, "minP");
  options.repetition_penalty = Number(from, "repetitionPenalty");
  options.presence_penalty = Number(from, "presencePenalty");
  options.frequency_penalty = Number(from, "frequencyPenalty");
  bool lossless;
  options.seed = Get(from, "seed").As<Napi::BigInt>().Uint64Value(&lossless);
  const auto tokens = Elements<int32_t>(Get(from, "biasTokens"));
  const auto biases = Elements<float>(Get(from, "biasValues"));
  for (size_t i = 0; i < tokens.size() && i < biases.size(); ++i) options.logit_bias.push_back({tokens[i], biases[i]});

  SampleRequest request = {};
  request.logits = logits.Data();
  request.history = Elements<int32_t>(info[3]);
  request.prompt_tokens = info[4].As<Napi::Number>().Uint32Value();
  request.draw = info[5].As<Napi::Number>().Uint32Value();
  const auto allowed = Elements<uint32_t>(info[6]);
  if (!info[6].IsUndefined()) {
    if (allowed.size() != static_cast<size_t>(vocabulary + 31) / 32)
      return Fail(info.Env(), "SHAPE_MISMATCH", "allowed must have one bit per token, in words of 32");
    request.allowed = allowed.data();
  }
  request.log_probability = info[7].As<Napi::Boolean>().Value();
  request.top_log_probabilities = info[8].As<Napi::Number>().Int32Value();

  Sampler sampler(*table->vector, std::move(options), vocabulary);
  const SampleResult sampled = sampler.Sample(request);
  switch (sampled.status) {
    case SampleStatus::kNotFinite:
      return Fail(info.Env(), "NON_FINITE_LOGITS", "the logits contain NaN or infinite values");
    case SampleStatus::kNothingAllowed:
      return Fail(info.Env(), "NOTHING_ALLOWED", "no token is allowed");
    case SampleStatus::kOk:
      break;
  }
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("token", Napi::Number::New(info.Env(), sampled.token));
  if (request.log_probability) result.Set("logProbability", Napi::Number::New(info.Env(), sampled.log_probability));
  Napi::Int32Array top_tokens = Napi::Int32Array::New(info.Env(), sampled.top.size());
  Napi::Float32Array top = Napi::Float32Array::New(info.Env(), sampled.top.size());
  for (size_t i = 0; i < sampled.top.size(); ++i) {
    top_tokens[i] = sampled.top[i].token;
    top[i] = sampled.top[i].log_probability;
  }
  result.Set("topTokens", top_tokens);
  result.Set("topLogProbabilities", top);
  return result;
}

}  // namespace

void DefineSampling(Napi::Env env, Napi::Object exports) {
  exports.Set("sampleToken", Napi::Function::New(env, SampleToken, "sampleToken"));
}

}  // namespace llm
