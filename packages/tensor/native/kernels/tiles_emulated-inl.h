// AMX in plain code, after the instruction set reference: rows and row bytes of each tile come from the configuration,
// bytes beyond them are 0. bf16 products flush subnormal inputs to zero and round each step to nearest; the order
// inside a pair is that of the reference, which hardware need not follow to the last bit.
#include <cstdint>
#include <cstring>

#include "kernels/half.h"

namespace llm {
namespace {

struct EmulatedTiles {
  struct Tile {
    int rows, row_bytes;
    uint8_t bytes[16][64];
  };
  static Tile& At(int t) {
    static thread_local Tile tiles[8];
    return tiles[t];
  }

  static void Configure(int piece) {
    for (int t = 0; t < 8; ++t) {
      At(t) = {};
      At(t).rows = t < 6 ? 16 : piece / 4;
      At(t).row_bytes = t == 4 || t == 5 ? piece : 64;
    }
  }
  static void Release() {
    for (int t = 0; t < 8; ++t) At(t) = {};
  }

  template <int T>
  static void Zero() {
    std::memset(At(T).bytes, 0, sizeof At(T).bytes);
  }
  template <int T>
  static void Load(const void* from, int64_t stride) {
    Zero<T>();
    for (int r = 0; r < At(T).rows; ++r)
      std::memcpy(At(T).bytes[r], static_cast<const uint8_t*>(from) + r * stride, At(T).row_bytes);
  }
  template <int T>
  static void Store(void* to, int64_t stride) {
    for (int r = 0; r < At(T).rows; ++r)
      std::memcpy(static_cast<uint8_t*>(to) + r * stride, At(T).bytes[r], At(T).row_bytes);
  }

  template <class T>
  static T Get(const Tile& tile, int row, int index) {
    T value;
    std::memcpy(&value, tile.bytes[row] + index * sizeof(T), sizeof(T));
    return value;
  }
  static float Bf16(const Tile& tile, int row, int index) {
    const uint16_t bits = Get<uint16_t>(tile, row, index);
    return (bits & 0x7F80) == 0 ? 0.0f : Bf16ToFloat(bits);
  }

  template <bool bf16, int Sum, int X, int W>
  static void Dot() {
    Tile& sum = At(Sum);
    const Tile &x = At(X), &w = At(W);
    for (int m = 0; m < sum.rows; ++m)
      for (int k = 0; k < x.row_bytes / 4; ++k)
        for (int n = 0; n < sum.row_bytes / 4; ++n) {
          if constexpr (bf16) {
            float value = Get<float>(sum, m, n);
            value += Bf16(x, m, 2 * k) * Bf16(w, k, 2 * n);
            value += Bf16(x, m, 2 * k + 1) * Bf16(w, k, 2 * n + 1);
            std::memcpy(sum.bytes[m] + 4 * n, &value, sizeof value);
          } else {
            int32_t value = Get<int32_t>(sum, m, n);
            for (int j = 0; j < 4; ++j) value += Get<int8_t>(x, m, 4 * k + j) * Get<uint8_t>(w, k, 4 * n + j);
            std::memcpy(sum.bytes[m] + 4 * n, &value, sizeof value);
          }
        }
  }
};

}  // namespace
}  // namespace llm
