// What callers ask of an engine, and what they hear of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "program/sequence.h"
#include "program/speculation.h"
#include "sampling/sampler.h"
#include "sampling/token_constraint.h"

namespace llm {

enum class FinishReason : uint8_t { kStop, kLength, kContext, kCancelled };

// Why a request failed: a code of src/program-errors.ts with up to two numbers and a text.
struct Failure {
  const char* code = nullptr;  // null: it did not
  double a = 0, b = 0;
  std::string text;
};

struct Finish {
  Failure failure;
  FinishReason reason = FinishReason::kLength;
  int32_t stop_token = -1;
  int64_t prompt_tokens = 0, reused_tokens = 0, generated_tokens = 0;
  double prompt_seconds = 0, generate_seconds = 0;
  int64_t drafted_tokens = 0, accepted_tokens = 0;
};

// News of one request since the last look.
struct Event {
  uint32_t request = 0;
  std::vector<int32_t> tokens;
  std::vector<float> log_probabilities;
  bool finished = false;
  Finish finish;
};

struct Request {
  uint32_t id = 0;
  std::shared_ptr<Sequence> sequence;
  std::vector<int32_t> feed;  // tokens to compute at the end of the sequence

  // Rows of logits, or of hidden states, for some of them.
  std::vector<int32_t> outputs;  // indices into feed, ascending
  float* out = nullptr;          // kept alive by the caller until the request has finished
  bool hidden = false;

  // Then go on with what the model says.
  bool generates = false;
  int64_t max_tokens = 0;
  std::vector<int32_t> stop_tokens;
  bool log_probabilities = false;
  enum class Guesses : uint8_t { kNone, kLookUp, kDraftModel } guesses = Guesses::kNone;
  int64_t shift_keep = -1;  // tokens at the start that stay when the context is full; -1: generation ends there
  std::unique_ptr<Sampler> sampler;
  std::optional<TokenConstraint> constraint;

  // The engine's.
  bool cancelled = false;
  size_t fed = 0;          // of feed
  size_t next_output = 0;  // of outputs
  size_t prompt_end = 0;   // tokens of the sequence that were not generated
  int planned = 0;         // tokens in the running step
  int first_job = 0, jobs = 0;
  std::vector<int32_t> draft;  // guesses after the feed in the running step
  double draft_seconds = 0;    // spent on them
  Speculation speculation;
  std::unique_ptr<Sequence> draft_sequence;  // of the draft model
  double submitted = 0, began = 0, last = 0;
  Finish finish;

  bool decoding() const { return generates && finish.generated_tokens > 0 && feed.size() - fed == 1; }
};

}  // namespace llm
