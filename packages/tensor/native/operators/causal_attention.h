// Causal attention of whole sequences, forwards and backwards, for calibration and training: products of matrices
// instead of a pass over a cache. Sequences and key/value heads are shared out among the threads; each is computed by
// one.
#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"

namespace llm {

// Queries are [tokens, heads * head_dim], keys and values [tokens, kv_heads * head_dim]; the tokens of the sequences
// lie one after another.
struct CausalAttention {
  const int32_t* lengths;
  int sequences;
  int heads, kv_heads, head_dim;
  float scale;  // positive
  int window;   // a token sees itself and the window - 1 before it; 0: all
  const float *q, *k, *v;
};

// False: out of memory. One call at a time.
bool Attend(const KernelTable& table, const CausalAttention& task, float* out);
bool AttendBackward(const KernelTable& table, const CausalAttention& task, const float* dout, float* dq, float* dk,
                    float* dv);

}  // namespace llm
