#include "sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "kernels/vector_kernels.h"

namespace llm {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

template <typename Candidate>
bool Likelier(const Candidate& a, const Candidate& b) {
  return a.value > b.value || (a.value == b.value && a.token < b.token);
}

SampleResult Failure(SampleStatus status) {
  SampleResult result;
  result.status = status;
  return result;
}

}  // namespace

double UniformRandom(uint64_t seed, uint64_t draw) {
  // SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014), its state being a counter.
  uint64_t z = seed + (draw + 1) * 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1p-53;
}

Sampler::Sampler(const VectorKernels& kernels, SamplingOptions options, int vocabulary)
    : kernels_(kernels), options_(std::move(options)), vocabulary_(vocabulary), indices_(vocabulary) {}

SampleResult Sampler::Sample(const SampleRequest& request) {
  float* logits = request.logits;
  if (!kernels_.all_finite(logits, vocabulary_)) return Failure(SampleStatus::kNotFinite);

  SampleResult result;
  float log_sum = 0;
  if (request.log_probability || request.top_log_probabilities > 0) {
    const float max = kernels_.max(logits, vocabulary_);
    log_sum = max + std::log(kernels_.exp_sum(logits, max, 1, vocabulary_, nullptr));
    top_.clear();
    if (request.top_log_probabilities > 0) {
      for (const Candidate& c : Likeliest(logits, max, static_cast<size_t>(request.top_log_probabilities)))
        top_.push_back({c.token, c.value - log_sum});
    }
    result.top = top_;
  }

  Adjust(request);
  const float max = kernels_.max(logits, vocabulary_);
  if (max == kNever) return Failure(SampleStatus::kNothingAllowed);
  if (!kernels_.all_finite(&max, 1)) return Failure(SampleStatus::kNotFinite);
  result.token = options_.temperature > 0 ? Draw(logits, max, request.draw) : kernels_.argmax(logits, vocabulary_);
  if (request.log_probability) {
    const auto changed =
        std::find_if(originals_.begin(), originals_.end(), [&](const Candidate& c) { return c.token == result.token; });
    result.log_probability = (changed == originals_.end() ? logits[result.token] : changed->value) - log_sum;
  }
  return result;
}

void Sampler::Change(float* logits, int32_t token, float value) {
  originals_.push_back({logits[token], token});
  logits[token] = value;
}

void Sampler::Adjust(const SampleRequest& request) {
  float* logits = request.logits;
  originals_.clear();
  const auto known = [&](int32_t token) { return token >= 0 && token < vocabulary_; };
  for (const LogitBias& bias : options_.logit_bias)
    if (known(bias.token)) Change(logits, bias.token, logits[bias.token] + bias.bias);

  const std::span<const int32_t> history = request.history;
  const std::span<const int32_t> generated = history.subspan(std::min(request.prompt_tokens, history.size()));
  const bool counted = options_.presence_penalty != 0 || options_.frequency_penalty != 0;
  if (options_.repetition_penalty != 1 || counted) counts_.resize(vocabulary_);
  if (options_.repetition_penalty != 1) {
    const float penalty = options_.repetition_penalty;
    for (const int32_t token : history) {
      if (!known(token) || counts_[token]++ != 0) continue;
      Change(logits, token, logits[token] > 0 ? logits[token] / penalty : logits[token] * penalty);
    }
    for (const int32_t token : history)
      if (known(token)) counts_[token] = 0;
  }
  if (counted) {
    for (const int32_t token : generated)
      if (known(token)) ++counts_[token];
    for (const int32_t token : generated) {
      if (!known(token) || counts_[token] == 0) continue;
      const float frequency = options_.frequency_penalty * static_cast<float>(counts_[token]);
      Change(logits, token, logits[token] - (options_.presence_penalty + frequency));
      counts_[token] = 0;
    }
  }

  if (request.allowed != nullptr) {
    for (int32_t word = 0; word * 32 < vocabulary_; ++word) {
      const uint32_t bits = request.allowed[word];
      if (bits == UINT32_MAX) continue;
      const int32_t end = std::min(vocabulary_, word * 32 + 32);
      for (int32_t token = word * 32; token < end; ++token)
        if (((bits >> (token % 32)) & 1) == 0) logits[token] = kNever;
    }
  }
}

// Temperature, top-k, top-p and min-p choose who is left; then one walks through those in order of their ids until
// their weights e^((logit - max) / temperature) pass a random share of the sum.
int32_t Sampler::Draw(const float* logits, float max, uint64_t draw) {
  const double share = UniformRandom(options_.seed, draw);
  const float heat = std::min(1 / options_.temperature, std::numeric_limits<float>::max());
  const bool all_k = options_.top_k <= 0 || options_.top_k >= vocabulary_;
  const bool all_p = options_.top_p >= 1;
  if (all_k && all_p && options_.min_p <= 0) return DrawFromAll(logits, max, heat, share);

  std::span<Candidate> left;
  if (!all_k) {
    left = Likeliest(logits, max, static_cast<size_t>(options_.top_k));
    const double sum = Weigh(left, max, heat);
    if (!all_p) left = Nucleus(left, sum);
  } else if (!all_p) {
    // As many of the likeliest as it takes; the first guess is nearly always enough.
    const double sum = kernels_.exp_sum(logits, max, heat, vocabulary_, nullptr);
    const size_t all = static_cast<size_t>(vocabulary_);
    for (size_t count = 256;; count *= 8) {
      left = Likeliest(logits, max, std::min(count, all));
      if (Weigh(left, max, heat) >= options_.top_p * sum || count >= all) break;
    }
    left = Nucleus(left, sum);
  } else {
    // A little lower than the exact border, which is decided below, by the weights.
    left = AtLeast(logits, max + 1.001f * std::log(options_.min_p) / heat - 1e-6f * std::fabs(max));
    Weigh(left, max, heat);
  }
  if (options_.min_p > 0) {
    const auto end =
        std::remove_if(left.begin(), left.end(), [&](const Candidate& c) { return c.value < options_.min_p; });
    left = left.first(static_cast<size_t>(end - left.begin()));
  }

  std::sort(left.begin(), left.end(), [](const Candidate& a, const Candidate& b) { return a.token < b.token; });
  double sum = 0;
  for (const Candidate& c : left) sum += c.value;
  double passed = 0;
  int32_t chosen = -1;
  for (const Candidate& c : left) {
    if (c.value <= 0) continue;
    chosen = c.token;
    passed += c.value;
    if (passed > share * sum) break;
  }
  return chosen;
}

int32_t Sampler::DrawFromAll(const float* logits, float max, float heat, double share) {
  constexpr int kPart = 1024;
  const int parts = (vocabulary_ + kPart - 1) / kPart;
  weights_.resize(static_cast<size_t>(parts) + kPart);
  float* sums = weights_.data();
  float* weights = sums + parts;
  const auto size_of = [&](int part) { return std::min(kPart, vocabulary_ - part * kPart); };
  double sum = 0;
  for (int i = 0; i < parts; ++i) {
    sums[i] = kernels_.exp_sum(logits + i * kPart, max, heat, size_of(i), nullptr);
    sum += sums[i];
  }
  // Rounding may leave a part's own walk a little short of its sum: then the last one with any weight is taken.
  double passed = 0;
  int32_t chosen = -1;
  for (int i = 0; i < parts; ++i) {
    if (sums[i] <= 0) continue;
    if (passed + sums[i] <= share * sum && i + 1 < parts) {
      passed += sums[i];
      continue;
    }
    kernels_.exp_sum(logits + i * kPart, max, heat, size_of(i), weights);
    for (int k = 0; k < size_of(i); ++k) {
      if (weights[k] <= 0) continue;
      chosen = i * kPart + k;
      passed += weights[k];
      if (passed > share * sum) return chosen;
    }
  }
  return chosen >= 0 ? chosen : kernels_.argmax(logits, vocabulary_);
}

std::span<Sampler::Candidate> Sampler::Likeliest(const float* logits, float max, size_t count) {
  // Lower the bar until it lets enough through, then order those alone.
  count = std::min(count, static_cast<size_t>(vocabulary_));
  std::span<Candidate> found;
  for (float gap = 1; found.size() < count; gap *= 2) {
    const float bar = max - gap;
    found = AtLeast(logits, bar);
    if (bar == kNever || bar < -std::numeric_limits<float>::max() / 4) {
      found = AtLeast(logits, kNever);
      break;
    }
  }
  count = std::min(count, found.size());
  const auto border = found.begin() + static_cast<std::ptrdiff_t>(count);
  if (border != found.end()) std::nth_element(found.begin(), border, found.end(), Likelier<Candidate>);
  std::sort(found.begin(), border, Likelier<Candidate>);
  return found.first(count);
}

std::span<Sampler::Candidate> Sampler::AtLeast(const float* logits, float bar) {
  const int count = kernels_.at_least(logits, bar, vocabulary_, indices_.data(), vocabulary_);
  candidates_.resize(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) candidates_[i] = {logits[indices_[i]], indices_[i]};
  return candidates_;
}

// Logits become weights relative to the likeliest. Returns their sum.
double Sampler::Weigh(std::span<Candidate> candidates, float max, float heat) {
  weights_.resize(candidates.size());
  for (size_t i = 0; i < candidates.size(); ++i) weights_[i] = candidates[i].value;
  kernels_.exp_sum(weights_.data(), max, heat, static_cast<int>(candidates.size()), weights_.data());
  double sum = 0;
  for (size_t i = 0; i < candidates.size(); ++i) sum += candidates[i].value = weights_[i];
  return sum;
}

// The fewest of the likeliest that have top_p of the sum; at least one.
std::span<Sampler::Candidate> Sampler::Nucleus(std::span<Candidate> ordered, double sum) const {
  double passed = 0;
  size_t count = 0;
  while (count < ordered.size() && (count == 0 || passed < options_.top_p * sum)) passed += ordered[count++].value;
  return ordered.first(count);
}

}  // namespace llm
