// Chooses the next token from a row of logits.
//
// In this order, as in Hugging Face's generate(): logit bias, repetition penalty, presence and frequency penalties, the
// mask of allowed tokens; then temperature, top-k, top-p, min-p; then one draw from what is left. Ties rank by token
// id. The draws come from a counter-based generator (SplitMix64 of the seed and the number of the draw), so a sequence
// can be replayed, forked or rolled back by its position alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/kernel_table.h"

namespace llm {

struct LogitBias {
  int32_t token;
  float bias;
};

// The defaults change nothing: sampling from the softmax of the logits.
struct SamplingOptions {
  float temperature = 1;  // 0: the likeliest token (greedy)
  int top_k = 0;          // the k likeliest; 0: all
  float top_p = 1;        // the fewest of the likeliest that together have this probability; 1: all
  float min_p = 0;        // those at least this fraction as likely as the likeliest; 0: all
  // Over the tokens of the history: logit / penalty if positive, logit * penalty if negative. 1: none.
  float repetition_penalty = 1;
  // Over the generated tokens of the history: logit -= presence + frequency * count. 0: none.
  float presence_penalty = 0;
  float frequency_penalty = 0;
  uint64_t seed = 0;
  std::vector<LogitBias> logit_bias;
};

enum class SampleStatus : uint8_t {
  kOk,
  kNotFinite,       // NaN or infinite logits
  kNothingAllowed,  // the mask and the biases leave no token
};

struct TokenLogProbability {
  int32_t token;
  float log_probability;
};

struct SampleRequest {
  float* logits;                      // [vocabulary]; changed
  std::span<const int32_t> history;   // prompt and generated tokens
  size_t prompt_tokens = 0;           // of the history; the rest was generated
  uint64_t draw = 0;                  // which random number of the seed's sequence: usually the tokens generated so far
  const uint32_t* allowed = nullptr;  // bit t of word t / 32: token t may be chosen; null: all
  // Log-probabilities are of the model's own distribution: before every option above.
  bool log_probability = false;
  int top_log_probabilities = 0;
};

struct SampleResult {
  SampleStatus status = SampleStatus::kOk;
  int32_t token = -1;
  float log_probability = 0;                 // if asked for
  std::span<const TokenLogProbability> top;  // the likeliest first; valid until the next call
};

// Holds the memory that a call needs. Not for several threads at once.
class Sampler {
 public:
  Sampler(const VectorKernels& kernels, SamplingOptions options, int vocabulary);

  SampleResult Sample(const SampleRequest& request);

  const SamplingOptions& options() const { return options_; }

 private:
  struct Candidate {
    float value;  // the logit, later its weight
    int32_t token;
  };

  void Adjust(const SampleRequest& request);
  void Change(float* logits, int32_t token, float value);
  int32_t Draw(const float* logits, float max, uint64_t draw);
  int32_t DrawFromAll(const float* logits, float max, float heat, double share);
  // These give views of candidates_. The first is ordered: the likeliest first.
  std::span<Candidate> Likeliest(const float* logits, float max, size_t count);
  std::span<Candidate> AtLeast(const float* logits, float bar);
  double Weigh(std::span<Candidate> candidates, float max, float heat);
  std::span<Candidate> Nucleus(std::span<Candidate> ordered, double sum) const;

  const VectorKernels& kernels_;
  SamplingOptions options_;
  int vocabulary_;
  std::vector<int32_t> indices_;
  std::vector<Candidate> candidates_;
  std::vector<Candidate> originals_;  // logits before they were changed, in order
  std::vector<float> weights_;
  std::vector<int32_t> counts_;  // of a token in the history; all zero between calls
  std::vector<TokenLogProbability> top_;
};

// Uniform in [0, 1), a multiple of 2^-53.
double UniformRandom(uint64_t seed, uint64_t draw);

}  // namespace llm
