// AVX512_FP16 in plain code: products and sums rounded once, to nearest even, subnormals kept.
#include <cstdint>
#include <cstring>

#include "kernels/half.h"
#include "kernels/round_to_odd.h"

namespace llm {
namespace {

// a b + c of halves.
LLM_INLINE uint16_t FmaOfHalves(uint16_t a, uint16_t b, uint16_t c) {
  const double product = static_cast<double>(HalfToFloat(a)) * HalfToFloat(b);  // 22 bits: exact
  const double odd = SumToOdd(product, HalfToFloat(c));
  const auto near = static_cast<float>(odd);
  if (!(odd - odd == 0)) return FloatToHalf(near);  // infinite or NaN
  const double magnitude = odd < 0 ? -odd : odd, nearest = near < 0 ? -near : near;
  return FloatToHalf(ToOdd<float, uint32_t>(near, near != odd, nearest > magnitude));
}

struct EmulatedHalves {
  struct Halves {
    uint16_t at[32];
  };
  struct Floats {
    float at[16];
  };
  static Halves Zero() { return {}; }
  static Halves Load(const uint16_t* p) {
    Halves v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  static Halves Broadcast(const uint16_t* p) {
    Halves v;
    for (uint16_t& half : v.at) half = *p;
    return v;
  }
  static Halves Fma(const Halves& a, const Halves& b, Halves c) {
    for (int i = 0; i < 32; ++i) c.at[i] = FmaOfHalves(a.at[i], b.at[i], c.at[i]);
    return c;
  }
  template <int half>
  static Floats Widen(const Halves& v) {
    Floats wide;
    for (int i = 0; i < 16; ++i) wide.at[i] = HalfToFloat(v.at[16 * half + i]);
    return wide;
  }
  static Floats LoadFloats(const float* p) {
    Floats v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  static Floats ZeroFloats() { return {}; }
  static Floats Add(Floats a, const Floats& b) {
    for (int i = 0; i < 16; ++i) a.at[i] += b.at[i];
    return a;
  }
  static void Store(float* p, const Floats& v) { std::memcpy(p, &v, sizeof v); }
  static void Round16(const float* from, uint16_t* to) {
    for (int i = 0; i < 16; ++i) to[i] = FloatToHalf(from[i]);
  }
};

}  // namespace
}  // namespace llm
