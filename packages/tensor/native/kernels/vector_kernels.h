// Element-wise work, norms, rotations and what sampling needs of a vocabulary-long row. Written once, over 16 logical
// lanes of float32 (vector-inl.h), so that every table does the same operations in the same order: all tables give the
// same bits. Inputs may be unaligned, n may be anything from 0 up, and out may be the same memory as an input.
#pragma once

#include <cstdint>

namespace llm {

struct VectorKernels {
  // out = x / sqrt(mean(x^2) + epsilon) * weight
  void (*rms_norm)(const float* x, const float* weight, float epsilon, int n, float* out);
  // out = (x - mean) / sqrt(variance + epsilon) * weight + bias; bias may be null
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float epsilon, int n, float* out);
  // Rotates the first rotary_dim values of one head in place by the angles of its position: cos_sin[rotary_dim / 2][2].
  // Pairs are (i, i + rotary_dim / 2), or (2i, 2i + 1) when interleaved.
  void (*rope)(float* head, const float* cos_sin, int rotary_dim, int interleaved);

  void (*add)(const float* a, const float* b, int n, float* out);
  void (*mul)(const float* a, const float* b, int n, float* out);
  void (*scale)(const float* x, float factor, int n, float* out);
  void (*softcap)(const float* x, float cap, int n, float* out);            // cap * tanh(x / cap)
  void (*clamp)(const float* x, float low, float high, int n, float* out);  // NaN stays NaN
  void (*axpy)(const float* x, float factor, int n, float* out);            // out += factor * x

  // Relative errors against the exact functions are stated beside their definitions in vector_math-inl.h.
  void (*silu)(const float* x, int n, float* out);
  void (*gelu)(const float* x, int n, float* out);       // with erf
  void (*gelu_tanh)(const float* x, int n, float* out);  // its tanh form
  void (*relu)(const float* x, int n, float* out);
  void (*silu_mul)(const float* gate, const float* up, int n, float* out);  // f(gate) * up
  void (*gelu_mul)(const float* gate, const float* up, int n, float* out);
  void (*gelu_tanh_mul)(const float* gate, const float* up, int n, float* out);
  void (*relu_mul)(const float* gate, const float* up, int n, float* out);
  void (*exp)(const float* x, int n, float* out);
  void (*tanh)(const float* x, int n, float* out);

  bool (*all_finite)(const float* x, int n);
  float (*max)(const float* x, int n);   // -inf for n = 0; no NaN among x
  int (*argmax)(const float* x, int n);  // the first of equals; -1 for n = 0; no NaN among x
  float (*sum)(const float* x, int n);
  // Sum of exp((x - shift) * factor), in an order that depends on n alone; writes the terms to out unless it is null.
  float (*exp_sum)(const float* x, float shift, float factor, int n, float* out);
  // The indices, in rising order, of values >= threshold; stops when capacity is full. Returns their number.
  int (*at_least)(const float* x, float threshold, int n, int32_t* indices, int capacity);

  // Backwards: the gradient of x from dy, that of the output.
  void (*silu_gradient)(const float* x, const float* dy, int n, float* dx);
  void (*gelu_gradient)(const float* x, const float* dy, int n, float* dx);
  void (*gelu_tanh_gradient)(const float* x, const float* dy, int n, float* dx);
  void (*relu_gradient)(const float* x, const float* dy, int n, float* dx);
  void (*rms_norm_gradient)(const float* x, const float* weight, const float* dy, float epsilon, int n, float* dx);
  void (*layer_norm_gradient)(const float* x, const float* weight, const float* dy, float epsilon, int n, float* dx);
  // Of probabilities p = softmax(scale * scores): g holds the gradient of p and is given that of the scores.
  void (*softmax_gradient)(const float* p, float scale, int n, float* g);
};

}  // namespace llm
