// exp, tanh and what is made of them, on the lanes that the translation unit chose: LLM_LANES names their header. The
// polynomials interpolate at Chebyshev nodes; the errors stated are the largest found against float64 (vector.test.ts).
#pragma once

#include LLM_LANES

namespace llm {
namespace {

using F = Lanes::F;

// Relative error below 1.5e-7 where the result is normal, half a step below. 0 below -104, infinite above 88.73.
LLM_INLINE F Exp(F x) {
  // NaN passes through: Min and Max give their second operand for it.
  const F bounded = Lanes::Min(Lanes::Set(89), Lanes::Max(Lanes::Set(-104), x));
  const F n = Lanes::Round(Lanes::Mul(bounded, Lanes::Set(1.44269504f)));
  // ln 2 in two parts, the first with trailing zeros so that its product with n is exact
  F r = Lanes::Fma(n, Lanes::Set(-0.693359375f), bounded);
  r = Lanes::Fma(n, Lanes::Set(2.12194440e-4f), r);
  F p = Lanes::Set(0.0013926251f);
  p = Lanes::Fma(p, r, Lanes::Set(0.00836323288f));
  p = Lanes::Fma(p, r, Lanes::Set(0.0416665542f));
  p = Lanes::Fma(p, r, Lanes::Set(0.166665767f));
  p = Lanes::Fma(p, r, Lanes::Set(0.5f));
  p = Lanes::Fma(Lanes::Mul(r, r), p, r);
  return Lanes::ScaleByPower(Lanes::Add(p, Lanes::Set(1)), n);
}

// Relative error below 3e-7.
LLM_INLINE F Tanh(F x) {
  const F size = Lanes::Abs(x);
  const F square = Lanes::Mul(x, x);
  F p = Lanes::Set(-0.00661022784f);
  p = Lanes::Fma(p, square, Lanes::Set(0.0213093887f));
  p = Lanes::Fma(p, square, Lanes::Set(-0.0539094288f));
  p = Lanes::Fma(p, square, Lanes::Set(0.133331137f));
  p = Lanes::Fma(p, square, Lanes::Set(-0.33333332f));
  const F near = Lanes::Fma(Lanes::Mul(square, x), p, x);
  const F growth = Exp(Lanes::Add(size, size));
  const F far = Lanes::Sub(Lanes::Set(1), Lanes::Div(Lanes::Set(2), Lanes::Add(growth, Lanes::Set(1))));
  return Lanes::Select(Lanes::Less(size, Lanes::Set(0.55f)), near, Lanes::CopySign(far, x));
}

// x / (1 + e^-x). Relative error below 4e-7 while e^-x is finite.
LLM_INLINE F Silu(F x) {
  const F decay = Exp(Lanes::Sub(Lanes::Set(0), x));
  return Lanes::Div(x, Lanes::Add(Lanes::Set(1), decay));
}

// The share of the normal distribution below x, (1 + erf(x / sqrt 2)) / 2, from erfc(a) = e^(-a^2) t P(t) with
// t = 1 / (1 + 0.35 a) so that the negative side does not cancel. Error below 3e-7.
LLM_INLINE F NormalShare(F x) {
  const F a = Lanes::Mul(Lanes::Abs(x), Lanes::Set(0.707106781f));
  const F t = Lanes::Div(Lanes::Set(1), Lanes::Fma(a, Lanes::Set(0.35f), Lanes::Set(1)));
  F p = Lanes::Set(0.0366547281f);
  p = Lanes::Fma(p, t, Lanes::Set(-0.149543536f));
  p = Lanes::Fma(p, t, Lanes::Set(0.159641218f));
  p = Lanes::Fma(p, t, Lanes::Set(0.00104560933f));
  p = Lanes::Fma(p, t, Lanes::Set(0.063405114f));
  p = Lanes::Fma(p, t, Lanes::Set(0.158554688f));
  p = Lanes::Fma(p, t, Lanes::Set(0.146915782f));
  p = Lanes::Fma(p, t, Lanes::Set(0.188806398f));
  p = Lanes::Fma(p, t, Lanes::Set(0.197030738f));
  p = Lanes::Fma(p, t, Lanes::Set(0.197489266f));
  const F decay = Exp(Lanes::Sub(Lanes::Set(0), Lanes::Mul(a, a)));
  const F tail = Lanes::Mul(Lanes::Set(0.5f), Lanes::Mul(Lanes::Mul(decay, t), p));  // of the normal distribution
  return Lanes::Select(Lanes::Less(x, Lanes::Set(0)), tail, Lanes::Sub(Lanes::Set(1), tail));
}

// x/2 (1 + erf(x / sqrt 2)). Error below 3e-7 |x|.
LLM_INLINE F Gelu(F x) { return Lanes::Mul(x, NormalShare(x)); }

// x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) = x / (1 + e^(-2u)). Relative error below 2e-6 while that is finite.
LLM_INLINE F GeluTanh(F x) {
  const F square = Lanes::Mul(x, x);
  const F inner = Lanes::Fma(square, Lanes::Set(0.0713548163f), Lanes::Set(1.59576912f));
  const F decay = Exp(Lanes::Sub(Lanes::Set(0), Lanes::Mul(inner, x)));
  return Lanes::Div(x, Lanes::Add(Lanes::Set(1), decay));
}

LLM_INLINE F Relu(F x) { return Lanes::Max(Lanes::Set(0), x); }

}  // namespace
}  // namespace llm
