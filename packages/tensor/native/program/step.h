// What one step computes: tokens of one or many sequences, and what becomes of their outputs.
#pragma once

#include <cstdint>
#include <vector>

#include "sampling/sampler.h"
#include "sampling/token_constraint.h"

namespace llm {

// Consecutive tokens of one sequence.
struct Segment {
  uint8_t* const* table;   // its blocks, with room for the new tokens
  int64_t first_position;  // of its first token
  int first_row;           // of its first token in the step
  int count;
};

// What is wanted of one row: logits copied, hidden states copied, or the next token.
struct OutputJob {
  int row = 0;              // in the step
  float* logits = nullptr;  // [vocabulary]
  float* hidden = nullptr;  // [width of the hidden buffer]
  Sampler* sampler = nullptr;
  SampleRequest request;  // its logits are filled in, and what is allowed
  TokenConstraint* constraint = nullptr;
  // The next job samples after this guess at this one's token, with the same sampler: it is done if the guess is right.
  int32_t guess = -1;
  bool follows = false;  // such a guess of the job before
  SampleResult result;   // kNotFinite also for logits that were only copied
};

struct Step {
  std::vector<int32_t> tokens;
  std::vector<int64_t> positions;
  std::vector<Segment> segments;
  std::vector<OutputJob> outputs;  // rows ascending

  void Clear() {
    tokens.clear();
    positions.clear();
    segments.clear();
    outputs.clear();
  }
  int rows() const { return static_cast<int>(tokens.size()); }
};

}  // namespace llm
