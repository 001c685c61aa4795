// The vector kernels on the lanes that the including file chose.
#pragma once

#include "kernels/vector_kernels.h"
#include "kernels/vector_math-inl.h"

namespace llm {
namespace {

constexpr float kInfinity = __builtin_inff();

template <typename Op>
LLM_INLINE void Map(const float* x, int n, float* out, Op op) {
  int i = 0;
  for (; i + 16 <= n; i += 16) Lanes::Store(out + i, op(Lanes::Load(x + i)));
  if (i < n) Lanes::StorePart(out + i, n - i, op(Lanes::LoadPart(x + i, n - i, 0)));
}

template <typename Op>
LLM_INLINE void Map2(const float* a, const float* b, int n, float* out, Op op) {
  int i = 0;
  for (; i + 16 <= n; i += 16) Lanes::Store(out + i, op(Lanes::Load(a + i), Lanes::Load(b + i)));
  if (i < n) {
    const F tail = op(Lanes::LoadPart(a + i, n - i, 0), Lanes::LoadPart(b + i, n - i, 0));
    Lanes::StorePart(out + i, n - i, tail);
  }
}

// Four accumulators hide the latency of an addition. `add` takes an accumulator and the next 16 values, of which those
// beyond n are `fill`.
template <typename Op>
LLM_INLINE void Accumulate(const float* x, int n, float fill, F (&sums)[4], Op add) {
  int i = 0;
  for (; i + 64 <= n; i += 64)
    for (int k = 0; k < 4; ++k) sums[k] = add(sums[k], Lanes::Load(x + i + 16 * k));
  for (int k = 0; i + 16 <= n; i += 16, ++k) sums[k] = add(sums[k], Lanes::Load(x + i));
  if (i < n) sums[(i / 16) % 4] = add(sums[(i / 16) % 4], Lanes::LoadPart(x + i, n - i, fill));
}

LLM_INLINE float Total(const F (&sums)[4]) {
  return Lanes::ReduceAdd(Lanes::Add(Lanes::Add(sums[0], sums[1]), Lanes::Add(sums[2], sums[3])));
}

float Sum(const float* x, int n) {
  F sums[4] = {Lanes::Set(0), Lanes::Set(0), Lanes::Set(0), Lanes::Set(0)};
  Accumulate(x, n, 0, sums, [](F sum, F v) { return Lanes::Add(sum, v); });
  return Total(sums);
}

void RmsNorm(const float* x, const float* weight, float epsilon, int n, float* out) {
  F sums[4] = {Lanes::Set(0), Lanes::Set(0), Lanes::Set(0), Lanes::Set(0)};
  Accumulate(x, n, 0, sums, [](F sum, F v) { return Lanes::Fma(v, v, sum); });
  const F factor = Lanes::Set(1.0f / __builtin_sqrtf(Total(sums) / static_cast<float>(n) + epsilon));
  Map2(x, weight, n, out, [&](F v, F w) { return Lanes::Mul(Lanes::Mul(v, factor), w); });
}

void LayerNorm(const float* x, const float* weight, const float* bias, float epsilon, int n, float* out) {
  const float mean = Sum(x, n) / static_cast<float>(n);
  const F center = Lanes::Set(mean);
  F sums[4] = {Lanes::Set(0), Lanes::Set(0), Lanes::Set(0), Lanes::Set(0)};
  // The fill is the mean itself, so that it adds nothing.
  Accumulate(x, n, mean, sums, [&](F sum, F v) {
    const F d = Lanes::Sub(v, center);
    return Lanes::Fma(d, d, sum);
  });
  const F factor = Lanes::Set(1.0f / __builtin_sqrtf(Total(sums) / static_cast<float>(n) + epsilon));
  const auto norm = [&](F v, F w) { return Lanes::Mul(Lanes::Mul(Lanes::Sub(v, center), factor), w); };
  int i = 0;
  for (; i + 16 <= n; i += 16) {
    F y = norm(Lanes::Load(x + i), Lanes::Load(weight + i));
    if (bias != nullptr) y = Lanes::Add(y, Lanes::Load(bias + i));
    Lanes::Store(out + i, y);
  }
  if (i < n) {
    F y = norm(Lanes::LoadPart(x + i, n - i, 0), Lanes::LoadPart(weight + i, n - i, 0));
    if (bias != nullptr) y = Lanes::Add(y, Lanes::LoadPart(bias + i, n - i, 0));
    Lanes::StorePart(out + i, n - i, y);
  }
}

struct Rotation {
  F cos, sin;
};

// Of the next 16 pairs, or of n < 16.
LLM_INLINE Rotation LoadRotation(const float* cos_sin, int n) {
  Rotation r;
  if (n >= 16)
    Lanes::Unzip(Lanes::Load(cos_sin), Lanes::Load(cos_sin + 16), &r.cos, &r.sin);
  else
    Lanes::Unzip(Lanes::LoadPart(cos_sin, n < 8 ? 2 * n : 16, 0),
                 Lanes::LoadPart(cos_sin + 16, n > 8 ? 2 * n - 16 : 0, 0), &r.cos, &r.sin);
  return r;
}

LLM_INLINE void Rotate(Rotation r, F* a, F* b) {
  const F x = *a, y = *b;
  *a = Lanes::Fma(x, r.cos, Lanes::Sub(Lanes::Set(0), Lanes::Mul(y, r.sin)));
  *b = Lanes::Fma(y, r.cos, Lanes::Mul(x, r.sin));
}

void Rope(float* head, const float* cos_sin, int rotary_dim, int interleaved) {
  const int half = rotary_dim / 2;
  for (int i = 0; i < half; i += 16) {
    const int n = half - i < 16 ? half - i : 16;
    const Rotation rotation = LoadRotation(cos_sin + 2 * i, n);
    F a, b;
    if (interleaved) {
      float* p = head + 2 * i;
      const int first = n < 8 ? 2 * n : 16, second = n > 8 ? 2 * n - 16 : 0;
      F even, odd;
      a = n == 16 ? Lanes::Load(p) : Lanes::LoadPart(p, first, 0);
      b = n == 16 ? Lanes::Load(p + 16) : Lanes::LoadPart(p + 16, second, 0);
      Lanes::Unzip(a, b, &even, &odd);
      Rotate(rotation, &even, &odd);
      Lanes::Zip(even, odd, &a, &b);
      Lanes::StorePart(p, first, a);
      Lanes::StorePart(p + 16, second, b);
    } else {
      float* p = head + i;
      a = n == 16 ? Lanes::Load(p) : Lanes::LoadPart(p, n, 0);
      b = n == 16 ? Lanes::Load(p + half) : Lanes::LoadPart(p + half, n, 0);
      Rotate(rotation, &a, &b);
      Lanes::StorePart(p, n, a);
      Lanes::StorePart(p + half, n, b);
    }
  }
}

void AddVectors(const float* a, const float* b, int n, float* out) {
  Map2(a, b, n, out, [](F x, F y) { return Lanes::Add(x, y); });
}
void MulVectors(const float* a, const float* b, int n, float* out) {
  Map2(a, b, n, out, [](F x, F y) { return Lanes::Mul(x, y); });
}
void Scale(const float* x, float factor, int n, float* out) {
  const F f = Lanes::Set(factor);
  Map(x, n, out, [&](F v) { return Lanes::Mul(v, f); });
}
void Softcap(const float* x, float cap, int n, float* out) {
  const F c = Lanes::Set(cap);
  Map(x, n, out, [&](F v) { return Lanes::Mul(c, Tanh(Lanes::Div(v, c))); });
}
void Clamp(const float* x, float low, float high, int n, float* out) {
  const F from = Lanes::Set(low), to = Lanes::Set(high);
  Map(x, n, out, [&](F v) { return Lanes::Min(to, Lanes::Max(from, v)); });
}
void Axpy(const float* x, float factor, int n, float* out) {
  const F f = Lanes::Set(factor);
  Map2(x, out, n, out, [&](F v, F sum) { return Lanes::Fma(v, f, sum); });
}

void SiluVector(const float* x, int n, float* out) {
  Map(x, n, out, [](F v) { return Silu(v); });
}
void GeluVector(const float* x, int n, float* out) {
  Map(x, n, out, [](F v) { return Gelu(v); });
}
void GeluTanhVector(const float* x, int n, float* out) {
  Map(x, n, out, [](F v) { return GeluTanh(v); });
}
void ReluVector(const float* x, int n, float* out) {
  Map(x, n, out, [](F v) { return Relu(v); });
}
void SiluMul(const float* gate, const float* up, int n, float* out) {
  Map2(gate, up, n, out, [](F g, F u) { return Lanes::Mul(Silu(g), u); });
}
void GeluMul(const float* gate, const float* up, int n, float* out) {
  Map2(gate, up, n, out, [](F g, F u) { return Lanes::Mul(Gelu(g), u); });
}
void GeluTanhMul(const float* gate, const float* up, int n, float* out) {
  Map2(gate, up, n, out, [](F g, F u) { return Lanes::Mul(GeluTanh(g), u); });
}
void ReluMul(const float* gate, const float* up, int n, float* out) {
  Map2(gate, up, n, out, [](F g, F u) { return Lanes::Mul(Relu(g), u); });
}
void ExpVector(const float* x, int n, float* out) {
  Map(x, n, out, [](F v) { return Exp(v); });
}
void TanhVector(const float* x, int n, float* out) {
  Map(x, n, out, [](F v) { return Tanh(v); });
}

bool AllFinite(const float* x, int n) {
  F sums[4] = {Lanes::Set(0), Lanes::Set(0), Lanes::Set(0), Lanes::Set(0)};
  // x * 0 is NaN for what is not finite, and a NaN stays in the sum.
  Accumulate(x, n, 0, sums, [](F sum, F v) { return Lanes::Fma(v, Lanes::Set(0), sum); });
  return Total(sums) == 0;
}

float MaxVector(const float* x, int n) {
  const F low = Lanes::Set(-kInfinity);
  F tops[4] = {low, low, low, low};
  Accumulate(x, n, -kInfinity, tops, [](F top, F v) { return Lanes::Max(top, v); });
  return Lanes::ReduceMax(Lanes::Max(Lanes::Max(tops[0], tops[1]), Lanes::Max(tops[2], tops[3])));
}

int AtLeast(const float* x, float threshold, int n, int32_t* indices, int capacity) {
  const F least = Lanes::Set(threshold);
  int count = 0;
  for (int i = 0; i < n; i += 16) {
    const int width = n - i < 16 ? n - i : 16;
    const F v = width == 16 ? Lanes::Load(x + i) : Lanes::LoadPart(x + i, width, __builtin_nanf(""));
    for (uint32_t bits = Lanes::Bits(Lanes::AtLeast(v, least)); bits != 0; bits &= bits - 1) {
      if (count == capacity) return count;
      indices[count++] = i + __builtin_ctz(bits);
    }
  }
  return count;
}

int Argmax(const float* x, int n) {
  int32_t first = -1;
  AtLeast(x, MaxVector(x, n), n, &first, 1);
  return first;
}

float ExpSum(const float* x, float shift, float factor, int n, float* out) {
  const F s = Lanes::Set(shift), f = Lanes::Set(factor);
  F sums[4] = {Lanes::Set(0), Lanes::Set(0), Lanes::Set(0), Lanes::Set(0)};
  for (int i = 0, k = 0; i < n; i += 16, k = (k + 1) % 4) {
    const int width = n - i < 16 ? n - i : 16;
    const F v = width == 16 ? Lanes::Load(x + i) : Lanes::LoadPart(x + i, width, -kInfinity);
    const F e = Exp(Lanes::Mul(Lanes::Sub(v, s), f));
    if (out != nullptr) Lanes::StorePart(out + i, width, e);
    sums[k] = Lanes::Add(sums[k], e);
  }
  return Total(sums);
}

void SiluGradient(const float* x, const float* dy, int n, float* dx) {
  Map2(x, dy, n, dx, [](F v, F d) {
    const F one = Lanes::Set(1);
    const F share = Lanes::Div(one, Lanes::Add(one, Exp(Lanes::Sub(Lanes::Set(0), v))));
    return Lanes::Mul(d, Lanes::Mul(share, Lanes::Fma(v, Lanes::Sub(one, share), one)));
  });
}
void GeluGradient(const float* x, const float* dy, int n, float* dx) {
  Map2(x, dy, n, dx, [](F v, F d) {
    const F decay = Exp(Lanes::Mul(Lanes::Mul(v, v), Lanes::Set(-0.5f)));
    const F density = Lanes::Mul(decay, Lanes::Set(0.398942280f));  // 1 / sqrt(2 pi)
    return Lanes::Mul(d, Lanes::Fma(v, density, NormalShare(v)));
  });
}
void GeluTanhGradient(const float* x, const float* dy, int n, float* dx) {
  Map2(x, dy, n, dx, [](F v, F d) {
    const F one = Lanes::Set(1), square = Lanes::Mul(v, v);
    const F inner = Lanes::Fma(square, Lanes::Set(0.0713548163f), Lanes::Set(1.59576912f));
    const F share = Lanes::Div(one, Lanes::Add(one, Exp(Lanes::Sub(Lanes::Set(0), Lanes::Mul(inner, v)))));
    const F slope = Lanes::Fma(square, Lanes::Set(0.214064449f), Lanes::Set(1.59576912f));
    return Lanes::Mul(d, Lanes::Fma(Lanes::Mul(v, slope), Lanes::Mul(share, Lanes::Sub(one, share)), share));
  });
}
void ReluGradient(const float* x, const float* dy, int n, float* dx) {
  Map2(x, dy, n, dx, [](F v, F d) { return Lanes::Select(Lanes::Less(Lanes::Set(0), v), d, Lanes::Set(0)); });
}

float Dot(const float* a, const float* b, int n) {
  F sums[4] = {Lanes::Set(0), Lanes::Set(0), Lanes::Set(0), Lanes::Set(0)};
  for (int i = 0, k = 0; i < n; i += 16, k = (k + 1) % 4) {
    const int width = n - i < 16 ? n - i : 16;
    const bool whole = width == 16;
    const F x = whole ? Lanes::Load(a + i) : Lanes::LoadPart(a + i, width, 0);
    const F y = whole ? Lanes::Load(b + i) : Lanes::LoadPart(b + i, width, 0);
    sums[k] = Lanes::Fma(x, y, sums[k]);
  }
  return Total(sums);
}

// With the normalised n = (x - mean) / deviation and g = dy weight: dx = (g - mean(g) - n mean(g n)) / deviation, where
// RMSNorm leaves out both means of single values.
template <bool centred>
void NormGradient(const float* x, const float* weight, const float* dy, float epsilon, int n, float* dx) {
  const float count = static_cast<float>(n), mean = centred ? Sum(x, n) / count : 0;
  const F center = Lanes::Set(mean);
  F squares = Lanes::Set(0), slopes = Lanes::Set(0), products = Lanes::Set(0);
  const auto row = [&](int i, int width, float fill, const float* p) {
    return width == 16 ? Lanes::Load(p + i) : Lanes::LoadPart(p + i, width, fill);
  };
  for (int i = 0; i < n; i += 16) {
    const int width = n - i < 16 ? n - i : 16;
    const F distance = Lanes::Sub(row(i, width, mean, x), center);
    const F g = Lanes::Mul(row(i, width, 0, dy), row(i, width, 0, weight));
    squares = Lanes::Fma(distance, distance, squares);
    products = Lanes::Fma(g, distance, products);
    slopes = Lanes::Add(slopes, g);
  }
  const float inverse = 1.0f / __builtin_sqrtf(Lanes::ReduceAdd(squares) / count + epsilon);
  const F factor = Lanes::Set(inverse);
  const F slope = Lanes::Set(centred ? Lanes::ReduceAdd(slopes) / count : 0);
  const F share = Lanes::Set(-Lanes::ReduceAdd(products) / count * inverse * inverse);
  for (int i = 0; i < n; i += 16) {
    const int width = n - i < 16 ? n - i : 16;
    const F distance = Lanes::Sub(row(i, width, mean, x), center);
    const F g = Lanes::Mul(row(i, width, 0, dy), row(i, width, 0, weight));
    Lanes::StorePart(dx + i, width, Lanes::Mul(factor, Lanes::Fma(distance, share, Lanes::Sub(g, slope))));
  }
}

void SoftmaxGradient(const float* p, float scale, int n, float* g) {
  const F mean = Lanes::Set(Dot(p, g, n)), factor = Lanes::Set(scale);
  Map2(p, g, n, g, [&](F share, F d) { return Lanes::Mul(Lanes::Mul(share, Lanes::Sub(d, mean)), factor); });
}

constexpr VectorKernels kVectorKernels = {
    .rms_norm = RmsNorm,
    .layer_norm = LayerNorm,
    .rope = Rope,
    .add = AddVectors,
    .mul = MulVectors,
    .scale = Scale,
    .softcap = Softcap,
    .clamp = Clamp,
    .axpy = Axpy,
    .silu = SiluVector,
    .gelu = GeluVector,
    .gelu_tanh = GeluTanhVector,
    .relu = ReluVector,
    .silu_mul = SiluMul,
    .gelu_mul = GeluMul,
    .gelu_tanh_mul = GeluTanhMul,
    .relu_mul = ReluMul,
    .exp = ExpVector,
    .tanh = TanhVector,
    .all_finite = AllFinite,
    .max = MaxVector,
    .argmax = Argmax,
    .sum = Sum,
    .exp_sum = ExpSum,
    .at_least = AtLeast,
    .silu_gradient = SiluGradient,
    .gelu_gradient = GeluGradient,
    .gelu_tanh_gradient = GeluTanhGradient,
    .relu_gradient = ReluGradient,
    .rms_norm_gradient = NormGradient<false>,
    .layer_norm_gradient = NormGradient<true>,
    .softmax_gradient = SoftmaxGradient,
};

}  // namespace
}  // namespace llm
