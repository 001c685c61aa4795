#include <algorithm>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "addon/bindings.h"
#include "addon/failure.h"
#include "addon/grammar_handle.h"
#include "sampling/token_constraint.h"

namespace llm {
namespace {

constexpr napi_type_tag kGrammarTag = {0x6c6c6d2e4772616d, 0x6d61724e61746976};
constexpr napi_type_tag kVocabularyTag = {0x6c6c6d2e566f6361, 0x62756c6172794e61};

// new (bytes, offsets): the tokens of a vocabulary, bytes[offsets[t]] to bytes[offsets[t + 1]]. One is for many
// grammars.
class NativeVocabulary : public Napi::ObjectWrap<NativeVocabulary> {
 public:
  static void Define(Napi::Env env, Napi::Object exports) {
    exports.Set("NativeVocabulary", DefineClass(env, "NativeVocabulary", {}));
  }

  explicit NativeVocabulary(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativeVocabulary>(info) {
    const auto bytes = info[0].As<Napi::Uint8Array>();
    const auto offsets = info[1].As<Napi::Int32Array>();
    for (size_t i = 0; i < offsets.ElementLength(); ++i) {
      const int32_t least = i == 0 ? 0 : offsets[i - 1];
      if (offsets[i] < least || static_cast<size_t>(offsets[i]) > bytes.ElementLength()) {
        Fail(info.Env(), "INVALID_ARGUMENT", "the offsets of the tokens must rise and end within their bytes");
        return;
      }
    }
    if (offsets.ElementLength() == 0) {
      Fail(info.Env(), "INVALID_ARGUMENT", "the tokens must have offsets");
      return;
    }
    trie_ = std::make_shared<TokenTrie>(std::span(bytes.Data(), bytes.ElementLength()),
                                        std::span(offsets.Data(), offsets.ElementLength()));
    info.This().As<Napi::Object>().TypeTag(&kVocabularyTag);
  }

  // Null if the value is none.
  static std::shared_ptr<const TokenTrie> TrieOf(Napi::Value value) {
    if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kVocabularyTag)) return nullptr;
    return Unwrap(value.As<Napi::Object>())->trie_;
  }

 private:
  std::shared_ptr<const TokenTrie> trie_;
};

// new (grammar, vocabulary, endTokens): texts under a grammar
class NativeGrammar : public Napi::ObjectWrap<NativeGrammar> {
 public:
  static void Define(Napi::Env env, Napi::Object exports) {
    exports.Set(
        "NativeGrammar",
        DefineClass(
            env, "NativeGrammar",
            {InstanceMethod("begin", &NativeGrammar::Begin), InstanceMethod("fork", &NativeGrammar::Fork),
             InstanceMethod("release", &NativeGrammar::Release), InstanceMethod("allowed", &NativeGrammar::Allowed),
             InstanceMethod("accept", &NativeGrammar::Accept), InstanceMethod("canEnd", &NativeGrammar::CanEnd)}));
  }

  const std::shared_ptr<TokenMasks>& masks() const { return masks_; }

  explicit NativeGrammar(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativeGrammar>(info) {
    GrammarGraph graph;
    GrammarError error;
    if (!ParseGrammar(info[0].As<Napi::String>().Utf8Value(), &graph, &error)) {
      Fail(info.Env(), "INVALID_GRAMMAR", error.message, error.line);
      return;
    }
    std::shared_ptr<const TokenTrie> trie = NativeVocabulary::TrieOf(info[1]);
    if (trie == nullptr) {
      Fail(info.Env(), "INVALID_ARGUMENT", "a grammar is over a vocabulary");
      return;
    }
    const auto ends = info[2].As<Napi::Int32Array>();
    masks_ = std::make_shared<TokenMasks>(std::make_shared<Grammar>(std::move(graph)), std::move(trie),
                                          std::vector<int32_t>(ends.Data(), ends.Data() + ends.ElementLength()));
    info.This().As<Napi::Object>().TypeTag(&kGrammarTag);
  }

 private:
  TokenConstraint* TextOf(const Napi::CallbackInfo& info) {
    const auto found = texts_.find(info[0].As<Napi::Number>().Int32Value());
    if (found != texts_.end()) return &found->second;
    Fail(info.Env(), "INVALID_ARGUMENT", "there is no such text");
    return nullptr;
  }

  // (): number of a new text
  Napi::Value Begin(const Napi::CallbackInfo& info) { return Add(info.Env(), TokenConstraint(masks_)); }

  // (text): number of another that goes on from the same place
  Napi::Value Fork(const Napi::CallbackInfo& info) {
    TokenConstraint* const text = TextOf(info);
    return text == nullptr ? Napi::Value() : Add(info.Env(), *text);
  }

  Napi::Value Add(Napi::Env env, TokenConstraint text) {
    texts_.emplace(next_, std::move(text));
    return Napi::Number::New(env, next_++);
  }

  Napi::Value Release(const Napi::CallbackInfo& info) {
    texts_.erase(info[0].As<Napi::Number>().Int32Value());
    return {};
  }

  // (text, out: Uint32Array)
  Napi::Value Allowed(const Napi::CallbackInfo& info) {
    TokenConstraint* const text = TextOf(info);
    if (text == nullptr) return {};
    auto out = info[1].As<Napi::Uint32Array>();
    const auto& mask = text->Allowed();
    if (out.ElementLength() != mask.size())
      return Fail(info.Env(), "SHAPE_MISMATCH", "a mask must have one bit per token, in words of 32");
    std::copy(mask.begin(), mask.end(), out.Data());
    return {};
  }

  // (text, token): boolean
  Napi::Value Accept(const Napi::CallbackInfo& info) {
    TokenConstraint* const text = TextOf(info);
    if (text == nullptr) return {};
    return Napi::Boolean::New(info.Env(), text->Accept(info[1].As<Napi::Number>().Int32Value()));
  }

  Napi::Value CanEnd(const Napi::CallbackInfo& info) {
    TokenConstraint* const text = TextOf(info);
    return text == nullptr ? Napi::Value() : Napi::Boolean::New(info.Env(), text->CanEnd());
  }

  std::shared_ptr<TokenMasks> masks_;
  std::unordered_map<int32_t, TokenConstraint> texts_;
  int32_t next_ = 0;
};

}  // namespace

std::shared_ptr<TokenMasks> UnwrapGrammar(Napi::Value value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kGrammarTag)) return nullptr;
  return NativeGrammar::Unwrap(value.As<Napi::Object>())->masks();
}

void DefineGrammar(Napi::Env env, Napi::Object exports) {
  NativeVocabulary::Define(env, exports);
  NativeGrammar::Define(env, exports);
}

}  // namespace llm
