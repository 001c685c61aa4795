// Reading and writing one KV head's cache, on the lanes that the including file chose. The layout: attention_kernels.h.
#pragma once

#include "kernels/attention_layout.h"
#include "kernels/vector_math-inl.h"

namespace llm {
namespace {

// How one element type is stored; Load and Store take 16 neighbours.
struct CacheF32 {
  using T = float;
  static LLM_INLINE F Load(const T* p) { return Lanes::Load(p); }
  static LLM_INLINE void Store(T* p, F v) { Lanes::Store(p, v); }
};
struct CacheF16 {
  using T = uint16_t;
  static LLM_INLINE F Load(const T* p) { return Lanes::LoadHalf(p); }
  static LLM_INLINE void Store(T* p, F v) { Lanes::StoreHalf(p, v); }
};
struct CacheBf16 {
  using T = uint16_t;
  static LLM_INLINE F Load(const T* p) { return Lanes::LoadBf16(p); }
  static LLM_INLINE void Store(T* p, F v) { Lanes::StoreBf16(p, v); }
};
struct CacheInt8 {
  using T = int8_t;
  static LLM_INLINE F Load(const T* p) { return Lanes::LoadInt8(p); }
  static LLM_INLINE void Store(T* p, F v) { Lanes::StoreInt8(p, v); }
};

// Keys and values of any type, converted and near.
struct Unpacked : CacheF32 {};

// Once for every line of a loop over 16 neighbours at a time, the i-th of which is at p.
template <typename Cache>
LLM_INLINE void Fetch(const typename Cache::T* p, int i) {
  constexpr int kPerLine = 64 / (16 * static_cast<int>(sizeof(typename Cache::T)));
  if constexpr (__is_same(Cache, Unpacked)) return;
  if (i % kPerLine == 0) __builtin_prefetch(p, 0, 2);
}

template <typename Work>
LLM_INLINE void WithCacheType(KvType type, Work work) {
  switch (type) {
    case KvType::kF32:
      return work(CacheF32{});
    case KvType::kF16:
      return work(CacheF16{});
    case KvType::kBf16:
      return work(CacheBf16{});
    case KvType::kInt8:
      return work(CacheInt8{});
  }
}

// Offsets of a layout, taken once per call.
struct CacheOffsets {
  size_t values, scales;
  int block_tokens, key_dim, value_stride;

  explicit CacheOffsets(const KvLayout& layout)
      : values(layout.ValueOffset()),
        scales(layout.ScaleOffset()),
        block_tokens(layout.block_tokens),
        key_dim(layout.key_dim),
        value_stride(PaddedTo16(layout.value_dim)) {}
};

// Sixteen tokens from a multiple of 16.
template <typename Cache>
struct CacheGroup {
  const typename Cache::T* keys;    // [key_dim][16]
  const typename Cache::T* values;  // [16][value_stride]
  const float* key_scales;          // [16], int8 only
  const float* value_scales;
  // The same of the chunk of keys that comes next, or of this one: hardware cannot know where it lies.
  const typename Cache::T *next_keys, *next_values;
};

template <typename Cache>
LLM_INLINE CacheGroup<Cache> GroupAt(const CacheOffsets& at, const uint8_t* head, int token) {
  using T = typename Cache::T;
  const float* scales = reinterpret_cast<const float*>(head + at.scales);
  const T* const keys = reinterpret_cast<const T*>(head) + static_cast<int64_t>(token) * at.key_dim;
  const T* const values = reinterpret_cast<const T*>(head + at.values) + static_cast<int64_t>(token) * at.value_stride;
  return {keys, values, scales + token, scales + at.block_tokens + token, keys, values};
}

// Codes and the scale of n values as int8; what is not finite makes the scale NaN.
LLM_INLINE float Int8Scale(const float* x, int n) {
  F size = Lanes::Set(0), check = Lanes::Set(0);
  for (int i = 0; i < n; i += 16) {
    const F v = Lanes::LoadPart(x + i, n - i < 16 ? n - i : 16, 0);
    size = Lanes::Max(Lanes::Abs(v), size);
    check = Lanes::Fma(v, Lanes::Set(0), check);
  }
  return Lanes::ReduceMax(size) / 127.0f + Lanes::ReduceAdd(check);
}

// What x is multiplied by before it is stored.
template <typename Cache>
LLM_INLINE float StoreFactor(const float* x, int n, float* scale) {
  if constexpr (__is_same(Cache, CacheInt8)) {
    *scale = Int8Scale(x, n);
    constexpr float kTiny = 1e-30f;  // below it the inverse could overflow; the codes are 0
    return *scale > kTiny ? 1.0f / *scale : 0.0f;
  }
  return 1.0f;
}

// The next 16 of n values, ready to be stored.
template <typename Cache>
LLM_INLINE F Encoded(const float* x, int n, F factor) {
  const F v = Lanes::LoadPart(x, n < 16 ? n : 16, 0);
  if constexpr (!__is_same(Cache, CacheInt8)) return v;
  const F limit = Lanes::Set(127);
  // NaN becomes a code as well: the scale tells of it.
  const F code = Lanes::Min(Lanes::Max(Lanes::Mul(v, factor), Lanes::Set(-127)), limit);
  return Lanes::Round(code);
}

void StoreToken(const KvLayout& layout, uint8_t* const* blocks, size_t head_offset, int64_t position, const float* k,
                const float* v) {
  const CacheOffsets at(layout);
  uint8_t* head = blocks[position / at.block_tokens] + head_offset;
  const int token = static_cast<int>(position % at.block_tokens);
  const int lane = token % 16;
  WithCacheType(layout.type, [&](auto cache) {
    using Cache = decltype(cache);
    using T = typename Cache::T;
    float* scales = reinterpret_cast<float*>(head + at.scales);

    const F key_factor = Lanes::Set(StoreFactor<Cache>(k, at.key_dim, scales + token));
    T* keys = reinterpret_cast<T*>(head) + static_cast<int64_t>(token - lane) * at.key_dim + lane;
    for (int i = 0; i < at.key_dim; i += 16) {
      T row[16];
      Cache::Store(row, Encoded<Cache>(k + i, at.key_dim - i, key_factor));
      const int width = at.key_dim - i < 16 ? at.key_dim - i : 16;
      for (int d = 0; d < width; ++d) keys[static_cast<int64_t>(i + d) * 16] = row[d];
    }

    const F value_factor = Lanes::Set(StoreFactor<Cache>(v, layout.value_dim, scales + at.block_tokens + token));
    T* values = reinterpret_cast<T*>(head + at.values) + static_cast<int64_t>(token) * at.value_stride;
    for (int i = 0; i < layout.value_dim; i += 16)
      Cache::Store(values + i, Encoded<Cache>(v + i, layout.value_dim - i, value_factor));
  });
}

}  // namespace
}  // namespace llm
