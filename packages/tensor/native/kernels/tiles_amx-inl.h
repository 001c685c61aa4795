// AMX: eight tile registers of 16 rows x 64 bytes. The system must have given the process permission (cpu/features.cc).
#include <immintrin.h>

#include <cstdint>

#include "kernels/inline.h"

namespace llm {
namespace {

struct AmxTiles {
  // `piece`: bytes of k in tiles 4..7.
  LLM_INLINE static void Configure(int piece) {
    struct alignas(64) Config {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {};
      uint8_t rows[16] = {};
    } config;
    for (int t = 0; t < 8; ++t) {
      config.rows[t] = static_cast<uint8_t>(t < 6 ? 16 : piece / 4);
      config.row_bytes[t] = static_cast<uint16_t>(t == 4 || t == 5 ? piece : 64);
    }
    asm volatile("ldtilecfg %0" : : "m"(config));
  }
  // A tile in use makes every later context switch save 8 KiB.
  LLM_INLINE static void Release() { asm volatile("tilerelease"); }

  template <int T>
  LLM_INLINE static void Zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(T));
  }
  template <int T>
  LLM_INLINE static void Load(const void* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(T) : "memory");
  }
  template <int T>
  LLM_INLINE static void Store(void* to, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(T) : "memory");
  }
  // Signed bytes of tile X times unsigned bytes of tile W, or pairs of bf16.
  template <bool bf16, int Sum, int X, int W>
  LLM_INLINE static void Dot() {
    if constexpr (bf16) {
      asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Sum), "i"(X), "i"(W));
    } else {
      asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Sum), "i"(X), "i"(W));
    }
  }
};

}  // namespace
}  // namespace llm
