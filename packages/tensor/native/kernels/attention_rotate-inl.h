// Rotating cached keys to new positions, on the lanes that the translation unit chose.
#pragma once

#include "kernels/attention_cache-inl.h"

namespace llm {
namespace {

// Rows of 16 tokens: one value of 16 keys. Pairs as in VectorKernels::rope.
struct RotatedPair {
  int first, second;
};

LLM_INLINE RotatedPair PairAt(int pair, int rotary_dim, int interleaved) {
  return interleaved ? RotatedPair{2 * pair, 2 * pair + 1} : RotatedPair{pair, pair + rotary_dim / 2};
}

LLM_INLINE void RotatePair(const float* cos_sin, F* a, F* b) {
  const F cos = Lanes::Set(cos_sin[0]), sin = Lanes::Set(cos_sin[1]);
  const F x = *a, y = *b;
  *a = Lanes::Fma(x, cos, Lanes::Sub(Lanes::Set(0), Lanes::Mul(y, sin)));
  *b = Lanes::Fma(y, cos, Lanes::Mul(x, sin));
}

template <typename Cache>
LLM_INLINE void RotateGroup(typename Cache::T* keys, float*, int, const float* cos_sin, int rotary_dim,
                            int interleaved) {
  for (int pair = 0; pair < rotary_dim / 2; ++pair) {
    const RotatedPair at = PairAt(pair, rotary_dim, interleaved);
    F a = Cache::Load(keys + at.first * 16), b = Cache::Load(keys + at.second * 16);
    RotatePair(cos_sin + 2 * pair, &a, &b);
    Cache::Store(keys + at.first * 16, a);
    Cache::Store(keys + at.second * 16, b);
  }
}

// A rotated key may have a larger value than before: find the new scales first, then rotate again and round.
template <>
LLM_INLINE void RotateGroup<CacheInt8>(int8_t* keys, float* scales, int key_dim, const float* cos_sin, int rotary_dim,
                                       int interleaved) {
  F size = Lanes::Set(0);
  for (int pair = 0; pair < rotary_dim / 2; ++pair) {
    const RotatedPair at = PairAt(pair, rotary_dim, interleaved);
    F a = CacheInt8::Load(keys + at.first * 16), b = CacheInt8::Load(keys + at.second * 16);
    RotatePair(cos_sin + 2 * pair, &a, &b);
    size = Lanes::Max(size, Lanes::Max(Lanes::Abs(a), Lanes::Abs(b)));
  }
  for (int d = rotary_dim; d < key_dim; ++d) size = Lanes::Max(size, Lanes::Abs(CacheInt8::Load(keys + d * 16)));
  // In units of the old scale, which is left out of it all: it may be 0 or NaN.
  const F whole = Lanes::Set(127);
  const F factor = Lanes::Div(whole, Lanes::Max(size, Lanes::Set(1)));
  const F stretched = Lanes::Div(Lanes::Max(size, Lanes::Set(1)), whole);
  Lanes::Store(scales, Lanes::Mul(Lanes::Load(scales), stretched));
  const auto rounded = [&](F v) {
    return Lanes::Round(Lanes::Min(Lanes::Max(Lanes::Mul(v, factor), Lanes::Set(-127)), whole));
  };
  for (int pair = 0; pair < rotary_dim / 2; ++pair) {
    const RotatedPair at = PairAt(pair, rotary_dim, interleaved);
    F a = CacheInt8::Load(keys + at.first * 16), b = CacheInt8::Load(keys + at.second * 16);
    RotatePair(cos_sin + 2 * pair, &a, &b);
    CacheInt8::Store(keys + at.first * 16, rounded(a));
    CacheInt8::Store(keys + at.second * 16, rounded(b));
  }
  for (int d = rotary_dim; d < key_dim; ++d) CacheInt8::Store(keys + d * 16, rounded(CacheInt8::Load(keys + d * 16)));
}

void RotateKeys(const KvLayout& layout, uint8_t* block, size_t head_offset, int tokens, const float* cos_sin,
                int rotary_dim, int interleaved) {
  const CacheOffsets at(layout);
  uint8_t* head = block + head_offset;
  WithCacheType(layout.type, [&](auto cache) {
    using Cache = decltype(cache);
    for (int token = 0; token < tokens; token += 16) {
      auto* keys = reinterpret_cast<typename Cache::T*>(head) + static_cast<int64_t>(token) * at.key_dim;
      float* scales = reinterpret_cast<float*>(head + at.scales) + token;
      RotateGroup<Cache>(keys, scales, at.key_dim, cos_sin, rotary_dim, interleaved);
    }
  });
}

}  // namespace
}  // namespace llm
