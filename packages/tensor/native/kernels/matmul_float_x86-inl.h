// fp32 products on a panel: 32 columns x some values of k, unpacked to fp32 once and read by all rows.
//
// `Lanes` is the vector: Ymm of 8 or Zmm of 16 columns.
#include "kernels/matmul_x86-inl.h"

namespace llm {
namespace {

struct Ymm {
  using Float = __m256;
  using Int = __m256i;
  static constexpr int kWidth = 8;
  static constexpr int kTileRows = 6;  // of a tile with two vectors: 12 sums in 16 registers
  static constexpr int kTileVectors = 2;
  LLM_INLINE static Int LoadInt(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  LLM_INLINE static Float LoadFloat(const void* p) { return _mm256_loadu_ps(static_cast<const float*>(p)); }
  LLM_INLINE static Float LoadHalves(const uint8_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  LLM_INLINE static void Store(float* p, Float v) { _mm256_storeu_ps(p, v); }
  LLM_INLINE static Float Zero() { return _mm256_setzero_ps(); }
  LLM_INLINE static Float Broadcast(const float* p) { return _mm256_broadcast_ss(p); }
  LLM_INLINE static Int Set(int v) { return _mm256_set1_epi32(v); }
  LLM_INLINE static Int Field(Int v, int shift, int mask) {
    return _mm256_and_si256(_mm256_srl_epi32(v, _mm_cvtsi32_si128(shift)), _mm256_set1_epi32(mask));
  }
  // The third bits of columns `column`.. of an octet, those of a column in the low bits of its lane's bytes.
  LLM_INLINE static Int ThirdBits(const uint8_t* bits, int column) {
    return _mm256_srl_epi32(LoadInt(bits), _mm_cvtsi32_si128(column / 16 * 2 + column % 16 / 8 * 4));
  }
  LLM_INLINE static Int Add(Int a, Int b) { return _mm256_add_epi32(a, b); }
  LLM_INLINE static Int Subtract(Int a, Int b) { return _mm256_sub_epi32(a, b); }
  LLM_INLINE static Float Convert(Int v) { return _mm256_cvtepi32_ps(v); }
  LLM_INLINE static Float Multiply(Float a, Float b) { return _mm256_mul_ps(a, b); }
  LLM_INLINE static Float MultiplyAdd(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
};

#if defined(__AVX512F__)
struct Zmm {
  using Float = __m512;
  using Int = __m512i;
  static constexpr int kWidth = 16;
  static constexpr int kTileRows = 12;
  static constexpr int kTileVectors = 2;
  LLM_INLINE static Int LoadInt(const void* p) { return _mm512_loadu_si512(p); }
  LLM_INLINE static Float LoadFloat(const void* p) { return _mm512_loadu_ps(p); }
  LLM_INLINE static Float LoadHalves(const uint8_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  LLM_INLINE static void Store(float* p, Float v) { _mm512_storeu_ps(p, v); }
  LLM_INLINE static Float Zero() { return _mm512_setzero_ps(); }
  LLM_INLINE static Float Broadcast(const float* p) { return _mm512_set1_ps(*p); }
  LLM_INLINE static Int Set(int v) { return _mm512_set1_epi32(v); }
  LLM_INLINE static Int Field(Int v, int shift, int mask) {
    return _mm512_and_si512(_mm512_srl_epi32(v, _mm_cvtsi32_si128(shift)), _mm512_set1_epi32(mask));
  }
  LLM_INLINE static Int ThirdBits(const uint8_t* bits, int column) {
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bits));
    const Int both = _mm512_inserti64x4(_mm512_castsi256_si512(half), _mm256_srli_epi32(half, 4), 1);
    return _mm512_srl_epi32(both, _mm_cvtsi32_si128(column / 16 * 2));
  }
  LLM_INLINE static Int Add(Int a, Int b) { return _mm512_add_epi32(a, b); }
  LLM_INLINE static Int Subtract(Int a, Int b) { return _mm512_sub_epi32(a, b); }
  LLM_INLINE static Float Convert(Int v) { return _mm512_cvtepi32_ps(v); }
  LLM_INLINE static Float Multiply(Float a, Float b) { return _mm512_mul_ps(a, b); }
  LLM_INLINE static Float MultiplyAdd(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
};
#endif

template <class Lanes, WeightFormat F>
void UnpackPanel(const PackedLayout& layout, const uint8_t* block, int k_begin, int k_end, float* panel) {
  using Float = typename Lanes::Float;
  using Int = typename Lanes::Int;
  constexpr int kVectors = kBlockRows / Lanes::kWidth;
  for (int k = k_begin; k < k_end;) {
    const int g = k / kOctet / layout.group_octets;
    const int group_begin = g * layout.group_octets * kOctet;
    const int end = Smaller(k_end, group_begin + layout.group_octets * kOctet);
    const uint8_t* const group = block + GroupOffset(layout, F, g);
    const uint8_t* const lines = block + MetaOffset(layout, F, g);
    Float scale[kVectors], minimum[kVectors];
    Int zero[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      const int column = v * Lanes::kWidth;
      const auto nibbles = [&](int line) {
        return Lanes::Field(Lanes::LoadInt(lines + line * kLine + column % 16 * 4),
                            g % kMetaPeriod * 8 + column / 16 * 4, 15);
      };
      if constexpr (IsTwoLevel(F)) {
        scale[v] = Lanes::Multiply(Lanes::LoadFloat(block + 4 * column),
                                   Lanes::Convert(Lanes::Add(nibbles(0), Lanes::Set(1))));
      } else {
        scale[v] = Lanes::LoadHalves(group + 2 * column);
      }
      minimum[v] = HasMinima(F) ? Lanes::LoadHalves(group + kLine + 2 * column) : Lanes::Zero();
      zero[v] = HasZeroPoints(F) ? nibbles(MetaLines(F) - 1) : Lanes::Set(FixedZero(F));
    }
    const uint8_t* from = group + ScaleBytes(F) + int64_t{(k - group_begin) / kOctet} * OctetBytes(F);
    for (; k < end; k += kOctet, from += OctetBytes(F)) {
      const int count = Smaller(kOctet, end - k);
      for (int v = 0; v < kVectors; ++v) {
        const int column = v * Lanes::kWidth;
        const Int low = Lanes::LoadInt(from + 4 * (CodeBits(F) < 4 ? column % 16 : column));
        const Int high = CodeBits(F) == 8 ? Lanes::LoadInt(from + 2 * kLine + 4 * column) : low;
        const Int third = CodeBits(F) == 3 ? Lanes::ThirdBits(from + kLine, column) : low;
#pragma GCC unroll 8
        for (int j = 0; j < kOctet; ++j) {
          if (j >= count) break;
          Int code;
          if constexpr (CodeBits(F) == 8) code = Lanes::Field(j < 4 ? low : high, j % 4 * 8, 255);
          if constexpr (CodeBits(F) == 4) code = Lanes::Field(low, j % 4 * 8 + j / 4 * 4, 15);
          if constexpr (CodeBits(F) < 4) code = Lanes::Field(low, j % 4 * 8 + column / 16 * 4 + j / 4 * 2, 3);
          if constexpr (CodeBits(F) == 3) {
            const Int bit = Lanes::Field(third, j % 4 * 8 + j / 4, 1);
            code = Lanes::Add(code, Lanes::Add(Lanes::Add(bit, bit), Lanes::Add(bit, bit)));
          }
          const Float q = Lanes::Convert(HasMinima(F) ? code : Lanes::Subtract(code, zero[v]));
          // A product with an fp16 scale is exact, so that the fused form rounds as the reference does.
          Lanes::Store(panel + j * kBlockRows + v * Lanes::kWidth,
                       HasMinima(F) ? Lanes::MultiplyAdd(q, scale[v], minimum[v]) : Lanes::Multiply(q, scale[v]));
        }
      }
      panel += count * kBlockRows;
    }
  }
}

template <WeightFormat F>
LLM_INLINE __m256 LoadDense(const void* row, int64_t index) {
  if constexpr (F == WeightFormat::kF32) return _mm256_loadu_ps(static_cast<const float*>(row) + index);
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(static_cast<const uint16_t*>(row) + index));
  if constexpr (F == WeightFormat::kF16) return _mm256_cvtph_ps(bits);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

template <WeightFormat F>
LLM_INLINE float LoadDenseElement(const void* row, int64_t index) {
  float value;
  if constexpr (F == WeightFormat::kF32) {
    std::memcpy(&value, static_cast<const float*>(row) + index, sizeof value);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, static_cast<const uint16_t*>(row) + index, sizeof bits);
  if constexpr (F == WeightFormat::kF16) return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits)));
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

LLM_INLINE void Transpose8x8(__m256 (&r)[8]) {
  __m256 t[8], u[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    u[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);
    u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
    r[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
  }
}

template <WeightFormat F>
void UnpackDensePanel(const void* row, int64_t stride, int count, int columns, float* panel) {
  constexpr int kElement = F == WeightFormat::kF32 ? 4 : 2;
  for (int c = 0; c < kBlockRows; c += 8) {
    int k = 0;
    if (c + 8 <= count)
      for (; k + 8 <= columns; k += 8) {
        __m256 tile[8];
        // The place in the next panel: 32 rows are more streams than hardware follows.
        if (k * kElement % kLine == 0)
          for (int i = 0; i < 8; ++i)
            _mm_prefetch(static_cast<const char*>(row) + ((c + i) * stride + k + columns) * kElement, _MM_HINT_T1);
        for (int i = 0; i < 8; ++i) tile[i] = LoadDense<F>(row, (c + i) * stride + k);
        Transpose8x8(tile);
        for (int i = 0; i < 8; ++i) _mm256_storeu_ps(panel + (k + i) * kBlockRows + c, tile[i]);
      }
    for (; k < columns; ++k)
      for (int i = c; i < c + 8; ++i)
        panel[k * kBlockRows + i] = i < count ? LoadDenseElement<F>(row, i * stride + k) : 0.0f;
  }
}

// R rows x V vectors of columns.
template <class Lanes, int R, int V>
void FloatTile(const float* x, int stride, const float* panel, int columns, bool first, float* out, int64_t ldo) {
  typename Lanes::Float sum[R][V];
#pragma GCC unroll 32
  for (int i = 0; i < R * V; ++i)
    sum[i / V][i % V] = first ? Lanes::Zero() : Lanes::LoadFloat(out + i / V * ldo + i % V * Lanes::kWidth);
#pragma GCC unroll 1
  for (int k = 0; k < columns; ++k, x += stride, panel += kBlockRows) {
    typename Lanes::Float w[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) w[v] = Lanes::LoadFloat(panel + v * Lanes::kWidth);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const auto value = Lanes::Broadcast(x + r);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) sum[r][v] = Lanes::MultiplyAdd(w[v], value, sum[r][v]);
    }
  }
#pragma GCC unroll 32
  for (int i = 0; i < R * V; ++i) Lanes::Store(out + i / V * ldo + i % V * Lanes::kWidth, sum[i / V][i % V]);
}

template <class Lanes, int R>
LLM_INLINE void FloatTileOf(int rows, const float* x, int stride, const float* panel, int columns, bool first,
                            float* out, int64_t ldo) {
  if constexpr (R > 0) {
    if (rows == R) return FloatTile<Lanes, R, Lanes::kTileVectors>(x, stride, panel, columns, first, out, ldo);
    FloatTileOf<Lanes, R - 1>(rows, x, stride, panel, columns, first, out, ldo);
  }
}

// x is [columns][rows].
template <class Lanes>
void MultiplyPanel(const float* x, int rows, const float* panel, int columns, bool first, float* out, int64_t ldo) {
  constexpr int kWidth = Lanes::kTileVectors * Lanes::kWidth;
  for (int r = 0; r < rows; r += Lanes::kTileRows)
    for (int c = 0; c < kBlockRows; c += kWidth)
      FloatTileOf<Lanes, Lanes::kTileRows>(Smaller(Lanes::kTileRows, rows - r), x + r, rows, panel + c, columns, first,
                                           out + r * ldo + c, ldo);
}

#define LLM_FLOAT_KERNELS(Lanes)                                                           \
  {UnpackPanel<Lanes, WeightFormat::kSym4>,     UnpackPanel<Lanes, WeightFormat::kAsym4>,  \
   UnpackPanel<Lanes, WeightFormat::kMin4>,     UnpackPanel<Lanes, WeightFormat::kTwo4>,   \
   UnpackPanel<Lanes, WeightFormat::kTwo4Asym>, UnpackPanel<Lanes, WeightFormat::kInt8>,   \
   UnpackPanel<Lanes, WeightFormat::kSym2>,     UnpackPanel<Lanes, WeightFormat::kAsym2>,  \
   UnpackPanel<Lanes, WeightFormat::kSym3>,     UnpackPanel<Lanes, WeightFormat::kAsym3>}, \
      {UnpackDensePanel<WeightFormat::kF32>, UnpackDensePanel<WeightFormat::kF16>,         \
       UnpackDensePanel<WeightFormat::kBf16>},                                             \
      MultiplyPanel<Lanes>

}  // namespace
}  // namespace llm
