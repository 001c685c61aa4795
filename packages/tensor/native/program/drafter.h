// Guesses at the next tokens. They cost nothing but time: a step that computes them along with the token before tells,
// by sampling at each of them what would have come without any guess, which of them were right. Output is the same, bit
// for bit.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "program/block_pool.h"
#include "program/executor.h"
#include "program/instruction.h"
#include "program/sequence.h"

namespace llm {

// What followed the last time that the text was as it is now: for answers that quote, and for code.
// The longest match of up to kLookupLongest last tokens wins, the latest among equals. Saxena, "Prompt Lookup
// Decoding", 2023.
constexpr int kLookupLongest = 4, kLookupShortest = 2;
void LookUp(std::span<const int32_t> text, int count, std::vector<int32_t>* guesses);

// A smaller model with the same vocabulary, on the thread and the pool of the engine that it guesses for.
class DraftModel {
 public:
  // Null if the system refuses the memory.
  static std::unique_ptr<DraftModel> Create(std::unique_ptr<Program> program, Executor::Options options);

  const Program& program() const { return *program_; }
  std::unique_ptr<Sequence> NewSequence() { return std::make_unique<Sequence>(*pool_); }
  // The likeliest continuation of `text`. The sequence keeps what it has seen for the next time. Fewer guesses, or
  // none, if there is no room.
  void Guess(Sequence& sequence, std::span<const int32_t> text, int count, std::vector<int32_t>* guesses);

  // Ends a running guess early.
  void Interrupt() { executor_->Interrupt(); }
  void Resume() { executor_->Resume(); }

 private:
  explicit DraftModel(std::unique_ptr<Program> program) : program_(std::move(program)) {}

  const std::unique_ptr<Program> program_;
  std::unique_ptr<BlockPool> pool_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<Sampler> greedy_;
  Step step_;
};

}  // namespace llm
