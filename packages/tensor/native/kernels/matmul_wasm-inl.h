// Integer products for 128-bit vectors of WebAssembly: the same octets as matmul_zmm-inl.h, eight vectors of 4 columns
// per octet row. Compiled with relaxed SIMD and without. What is neither an integer product nor quantization is the
// scalar table's.
#include "kernels/fma_wasm-inl.h"
#include "kernels/matmul_scalar-inl.h"

namespace llm {
namespace {

LLM_INLINE v128_t And(v128_t v, int mask) { return wasm_v128_and(v, wasm_i8x16_splat(static_cast<int8_t>(mask))); }

// The codes of k = 0..3 and of k = 4..7 of an octet for columns 4 v .. 4 v + 3, as bytes. `nibble`: 15 in each byte.
template <WeightFormat F>
LLM_INLINE void DecodeWasm(const uint8_t* octet, int v, v128_t nibble, v128_t& low, v128_t& high) {
  if constexpr (CodeBits(F) == 8) {
    low = wasm_v128_load(octet + 16 * v);
    high = wasm_v128_load(octet + 2 * kLine + 16 * v);
  } else if constexpr (CodeBits(F) == 4) {
    const v128_t bytes = wasm_v128_load(octet + 16 * v);
    low = wasm_v128_and(bytes, nibble);
    high = wasm_v128_and(wasm_u16x8_shr(bytes, 4), nibble);
  } else {
    const v128_t bytes = wasm_u16x8_shr(wasm_v128_load(octet + 16 * (v % 4)), v / 4 * 4);
    low = And(bytes, 3);
    high = And(wasm_u16x8_shr(bytes, 2), 3);
    if constexpr (CodeBits(F) == 3) {
      const v128_t bits = wasm_u16x8_shr(wasm_v128_load(octet + kLine + 16 * (v % 2)), v / 4 * 2 + v % 4 / 2 * 4);
      low = wasm_v128_or(low, wasm_i16x8_shl(And(bits, 1), 2));
      high = wasm_v128_or(high, wasm_i16x8_shl(And(wasm_u16x8_shr(bits, 1), 1), 2));
    }
  }
}

// Constants from memory, which stay in registers: engines make those that they know again in every turn of a loop.
template <class Number>
LLM_INLINE const Number* Unknown(const Number* address) {
  asm("" : "+r"(address));
  return address;
}
LLM_INLINE v128_t Held(const uint32_t& lane) { return wasm_v128_load32_splat(Unknown(&lane)); }
constexpr uint32_t kNibbles = 0x0F0F0F0F, kLowBytes = 0x00FF00FF;
constexpr uint32_t kFirstNibbles = 0x000F000F, kSecondNibbles = 0x00F000F0, kThirdNibbles = 0x0F000F00;

#if defined(__wasm_relaxed_simd__)

// One instruction for 16 products, added in pairs to 16 bits. It is defined only for codes below 128: 4-bit codes are,
// and 8-bit codes are taken as two of them. (One more step, to sums of four in 32 bits, is an instruction too. Where
// processors have it, it would be faster; on the others engines make five of it.)
template <WeightFormat F>
struct WasmDot {
  // 15 * 127 * 8 * 2 < 2^15
  static constexpr int kFoldOctets = 4;
  static constexpr bool kBytes = CodeBits(F) == 8;
  using Quant = int8_t;
  struct Codes {
    v128_t low, high;
  };
  struct Octet {
    v128_t low, high;  // k = 0..3 and 4..7, for every column
  };
  struct Sum {
    v128_t units, sixteens;
  };
  const v128_t nibble = Held(kNibbles);

  LLM_INLINE static const Quant* Quants(const PreparedRows& x) { return x.quants; }
  LLM_INLINE static Sum Zero() { return {wasm_i16x8_const_splat(0), wasm_i16x8_const_splat(0)}; }
  LLM_INLINE static Octet Load(const Quant* x) { return {wasm_v128_load32_splat(x), wasm_v128_load32_splat(x + 4)}; }
  LLM_INLINE Codes Decode(const uint8_t* octet, int v) const {
    Codes codes;
    DecodeWasm<F>(octet, v, nibble, codes.low, codes.high);
    return codes;
  }
  LLM_INLINE static void Pairs(v128_t& sum, v128_t codes, v128_t x) {
    sum = wasm_i16x8_add(sum, wasm_i16x8_relaxed_dot_i8x16_i7x16(x, codes));
  }
  LLM_INLINE void Quad(Sum& sum, v128_t codes, v128_t x) const {
    if constexpr (kBytes) {
      Pairs(sum.units, wasm_v128_and(codes, nibble), x);
      Pairs(sum.sixteens, wasm_v128_and(wasm_u16x8_shr(codes, 4), nibble), x);
    } else {
      Pairs(sum.units, codes, x);
    }
  }
  LLM_INLINE void Add(Sum& sum, const Codes& codes, const Octet& x) const {
    Quad(sum, codes.low, x.low);
    Quad(sum, codes.high, x.high);
  }
  LLM_INLINE static v128_t Columns(Sum sum) {
    const v128_t units = wasm_i32x4_extadd_pairwise_i16x8(sum.units);
    if constexpr (!kBytes) return units;
    return wasm_i32x4_add(units, wasm_i32x4_shl(wasm_i32x4_extadd_pairwise_i16x8(sum.sixteens), 4));
  }
};

// Sums, codes and activations in 16 registers.
constexpr int VectorsOf(int rows) { return rows == 1 ? 8 : rows == 2 ? 4 : rows <= 4 ? 2 : 1; }

#else

// Products of 16-bit numbers, added in pairs to 32 bits. A 16-bit lane of packed bytes holds codes of k and k + 1 (and,
// with 4 bits, k + 4 and k + 5): masked one at a time, where they stand, each with a vector of its own activations,
// which makes up for the place: all sums are 256 times too large. 16 bits hold 127 * 256.
template <WeightFormat F>
struct WasmDot {
  static constexpr bool kInPlace = CodeBits(F) == 4;
  // 256 * 15 * 127 * 8 * 512 < 2^31
  static constexpr int kFoldOctets = kInPlace ? 512 : 1 << 30;
  using Quant = int16_t;
  struct Codes {
    v128_t even, odd, high_even, high_odd;
  };
  using Octet = Codes;
  using Sum = v128_t;
  const v128_t first = Held(kInPlace ? kFirstNibbles : kLowBytes), second = Held(kSecondNibbles),
               third = Held(kThirdNibbles);

  LLM_INLINE static const Quant* Quants(const PreparedRows& x) { return x.wide; }
  LLM_INLINE static Sum Zero() { return wasm_i32x4_const_splat(0); }
  static void Widen(const int8_t* quants, int64_t octets, int16_t* wide) {
    static constexpr int16_t kPlaces[kOctet] = {256, 1, 256, 1, 16, 256, 16, 256};
    const v128_t places = wasm_v128_load(Unknown(kPlaces));  // a known factor would be made eight shifts
    for (int64_t o = 0; o < octets; ++o) {
      v128_t octet = wasm_i16x8_load8x8(quants + o * kOctet);
      if constexpr (kInPlace) octet = wasm_i16x8_mul(octet, places);
      wasm_v128_store(wide + o * kOctet, wasm_i16x8_shuffle(octet, octet, 0, 2, 1, 3, 4, 6, 5, 7));
    }
  }
  LLM_INLINE static Octet Load(const Quant* x) {
    return {wasm_v128_load32_splat(x), wasm_v128_load32_splat(x + 2), wasm_v128_load32_splat(x + 4),
            wasm_v128_load32_splat(x + 6)};
  }
  LLM_INLINE Codes Decode(const uint8_t* octet, int v) const {
    if constexpr (kInPlace) {
      const v128_t bytes = wasm_v128_load(octet + 16 * v);
      return {wasm_v128_and(bytes, first), wasm_v128_and(bytes, third), wasm_v128_and(bytes, second),
              wasm_u16x8_shr(bytes, 12)};
    } else {
      v128_t low, high;
      DecodeWasm<F>(octet, v, first, low, high);  // no nibbles here
      return {wasm_v128_and(low, first), wasm_u16x8_shr(low, 8), wasm_v128_and(high, first), wasm_u16x8_shr(high, 8)};
    }
  }
  LLM_INLINE static void Add(Sum& sum, const Codes& codes, const Octet& x) {
    sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(codes.even, x.even));
    sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(codes.odd, x.odd));
    sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(codes.high_even, x.high_even));
    sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(codes.high_odd, x.high_odd));
  }
  LLM_INLINE static v128_t Columns(Sum sum) { return kInPlace ? wasm_i32x4_shr(sum, 8) : sum; }
};

// Sums, codes, masks and activations in 15 registers.
constexpr int VectorsOf(int rows) { return rows <= 2 ? 4 : rows <= 4 ? 2 : 1; }

#endif

// Scale, minimum and zero point of columns 4 v .. 4 v + 3.
template <WeightFormat F>
struct HeadWasm {
  v128_t scale, minimum, zero;

  LLM_INLINE HeadWasm(const uint8_t* group, const uint8_t* lines, int g, int v) {
    const auto nibbles = [&](int line) {
      const v128_t words = wasm_v128_load(lines + line * kLine + v % 4 * 16);
      return wasm_v128_and(wasm_u32x4_shr(words, static_cast<uint32_t>(g % kMetaPeriod * 8 + v / 4 * 4)),
                           wasm_i32x4_const_splat(15));
    };
    if constexpr (IsTwoLevel(F)) {
      scale = wasm_f32x4_convert_i32x4(wasm_i32x4_add(nibbles(0), wasm_i32x4_const_splat(1)));
    } else {
      scale = HalvesToFloats(wasm_i32x4_load16x4(group + 8 * v));
    }
    if constexpr (HasMinima(F)) minimum = HalvesToFloats(wasm_i32x4_load16x4(group + kLine + 8 * v));
    if constexpr (HasZeroPoints(F)) zero = nibbles(MetaLines(F) - 1);
  }
};

// part = fma(dot, scale, part) and what belongs to it, for a segment of R rows. `fresh`: part is 0.
template <WeightFormat F, int R>
LLM_INLINE void AddSegment(const int32_t (&dots)[R][kBlockRows], const int32_t* base, const uint8_t* group,
                           const uint8_t* lines, int g, bool fresh, float (&part)[R][kBlockRows]) {
#pragma clang loop unroll_count(R == 1 ? 4 : 1)
  for (int v = 0; v < kBlockRows / 4; ++v) {
    const HeadWasm<F> head(group, lines, g, v);
    for (int r = 0; r < R; ++r) {
      v128_t dot = wasm_v128_load(dots[r] + 4 * v);
      if constexpr (HasZeroPoints(F)) {
        dot = wasm_i32x4_add(dot, wasm_i32x4_mul(head.zero, wasm_i32x4_splat(base[r])));
      } else if constexpr (!HasMinima(F)) {
        dot = wasm_i32x4_add(dot, wasm_i32x4_splat(base[r]));
      }
      float* const to = part[r] + 4 * v;
      const v128_t factor = wasm_f32x4_convert_i32x4(dot);
      v128_t p = fresh ? wasm_f32x4_add(wasm_f32x4_mul(factor, head.scale), wasm_f32x4_const_splat(0))
                       : Fma(factor, head.scale, wasm_v128_load(to));
      if constexpr (HasMinima(F)) p = Fma(wasm_f32x4_splat(static_cast<float>(base[r])), head.minimum, p);
      wasm_v128_store(to, p);
    }
  }
}

// total = fma(part, factor, total) for the columns of a block.
LLM_INLINE void AddSpan(const float* part, float factor, float* total) {
  const v128_t all = wasm_f32x4_splat(factor);
  const auto by_vector = [&] {
#pragma clang loop unroll(disable)
    for (int i = 0; i < kBlockRows; i += 4)
      wasm_v128_store(total + i, Fma(wasm_v128_load(part + i), all, wasm_v128_load(total + i)));
  };
#if defined(__wasm_relaxed_simd__)
  by_vector();
#else
  // Partial sums are made of integers and fp16 numbers, multiples of 2^-24. With a factor that is a multiple of 2^-125
  // the product is one of 2^-149, as all totals are: tiny results are exact, and those in the middle the only suspects.
  constexpr float kSmallestFactor = 0x1p-102f;
  constexpr int kVectors = kBlockRows / 4;
  v128_t suspects = wasm_i32x4_const_splat(0), sums[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    const TwiceRounded sum(wasm_v128_load(part + 4 * v), all, wasm_v128_load(total + 4 * v));
    sums[v] = sum.Result();
    suspects = wasm_v128_or(suspects, sum.Halfway());
  }
  if (__builtin_expect(wasm_v128_any_true(suspects) || (factor > 0 && factor < kSmallestFactor), 0)) return by_vector();
  for (int v = 0; v < kVectors; ++v) wasm_v128_store(total + 4 * v, sums[v]);
#endif
}

// R rows against one block, V vectors of 4 columns at a time within a segment.
template <WeightFormat F, int R, int V>
void RowsWasm(const uint8_t* block, const SegmentPlan& plan, const PreparedRows& x, float* out, int64_t ldo) {
  using Dot = WasmDot<F>;
  constexpr int kVectors = kBlockRows / 4;
  const Dot dot;
  const uint8_t *group = block + HeaderBytes(F), *lines = group, *codes = group;
  float total[R][kBlockRows] = {}, part[R][kBlockRows];
  int32_t dots[R][kBlockRows];
  const typename Dot::Quant* quants = Dot::Quants(x);
  const int32_t* base = x.base;
  const float* act_scale = x.scale;
  int until_group = 0, g = -1;
  for (int s = 0; s < plan.segments; act_scale += R) {
    const int begin = s, end = Smaller(s + plan.per_span, plan.segments);
    for (; s < end; ++s, base += R) {
      if (until_group == 0) {
        until_group = plan.per_group;
        group = HasPadding(F) ? NextLine(codes) : codes;
        if (++g % kMetaPeriod == 0 && MetaLines(F) > 0) {
          lines = group;
          group += MetaLines(F) * kLine;
        }
        codes = group + ScaleBytes(F);
      }
      --until_group;
      const int octets = s == plan.segments - 1 ? plan.tail_octets : plan.octets;
#pragma clang loop unroll(full)
      for (int first = 0; first < kVectors; first += V) {
        const uint8_t* w = codes;
        const typename Dot::Quant* a = quants;
        for (int done = 0; done < octets;) {
          const int stop = Smaller(octets, done + Dot::kFoldOctets);
          typename Dot::Sum sum[R][V];
          for (int i = 0; i < R * V; ++i) sum[i / V][i % V] = Dot::Zero();
          const bool again = done > 0;
#pragma clang loop unroll(disable)
          for (; done < stop; ++done, w += OctetBytes(F), a += R * kOctet) {
            typename Dot::Octet octet[R];
            for (int r = 0; r < R; ++r) octet[r] = Dot::Load(a + r * kOctet);
            for (int v = 0; v < V; ++v) {
              const typename Dot::Codes decoded = dot.Decode(w, first + v);
              for (int r = 0; r < R; ++r) dot.Add(sum[r][v], decoded, octet[r]);
            }
          }
          for (int i = 0; i < R * V; ++i) {
            const v128_t columns = Dot::Columns(sum[i / V][i % V]);
            int32_t* const to = dots[i / V] + 4 * (first + i % V);
            wasm_v128_store(to, again ? wasm_i32x4_add(wasm_v128_load(to), columns) : columns);
          }
        }
      }
      AddSegment<F, R>(dots, base, group, lines, g, s == begin, part);
      quants += octets * R * kOctet;
      codes += octets * OctetBytes(F);
    }
    for (int r = 0; r < R; ++r) AddSpan(part[r], act_scale[r], total[r]);
  }
  for (int i = 0; i < R * kVectors; ++i) {
    v128_t t = wasm_v128_load(total[i / kVectors] + 4 * (i % kVectors));
    if constexpr (IsTwoLevel(F)) t = wasm_f32x4_mul(t, wasm_v128_load(block + 16 * (i % kVectors)));
    wasm_v128_store(out + i / kVectors * ldo + 4 * (i % kVectors), t);
  }
}

LLM_INLINE v128_t LoadFour(const float* row, int k, int columns) {
  if (k + 4 <= columns) return wasm_v128_load(row + k);
  float four[4] = {};
  for (int i = 0; k + i < columns; ++i) four[i] = row[k + i];
  return wasm_v128_load(four);
}

LLM_INLINE int32_t SumOfLanes(v128_t v) {
  return wasm_i32x4_extract_lane(v, 0) + wasm_i32x4_extract_lane(v, 1) + wasm_i32x4_extract_lane(v, 2) +
         wasm_i32x4_extract_lane(v, 3);
}

// As Quantize of matmul_scalar-inl.h.
void QuantizeWasm(const float* x, int64_t ldx, int rows, int columns, const SegmentPlan& plan, int base_factor,
                  int8_t* quants, int32_t* base, float* scale) {
  const v128_t limit = wasm_i32x4_const_splat(127), lowest = wasm_i32x4_const_splat(-127);
  for (int r = 0; r < rows; ++r) {
    const float* row = x + r * ldx;
    int8_t* to = quants + r * kOctet;
    int k = 0;
    for (int s = 0, span = 0; s < plan.segments; ++span) {
      const int end = Smaller(s + plan.per_span, plan.segments);
      const int span_octets = (end - s) * plan.octets - (end == plan.segments ? plan.octets - plan.tail_octets : 0);
      const int stop = Smaller(k + span_octets * kOctet, columns);
      v128_t top = wasm_i32x4_const_splat(0);  // as bits, as in Quantize
      for (int i = k; i < stop; i += 4)
        top = wasm_i32x4_max(top, wasm_v128_and(LoadFour(row, i, columns), wasm_i32x4_const_splat(0x7FFFFFFF)));
      top = wasm_i32x4_max(top, wasm_i32x4_shuffle(top, top, 2, 3, 0, 1));
      top = wasm_i32x4_max(top, wasm_i32x4_shuffle(top, top, 1, 0, 3, 2));
      const uint32_t bits = static_cast<uint32_t>(wasm_i32x4_extract_lane(top, 0));
      const float peak = FloatOfBits(bits);
      const bool finite = bits < 0x7F800000, zero = !finite || peak < kSmallestPeak;
      scale[span * rows + r] = !finite ? NAN : zero ? 0.0f : peak / 127.0f;
      const v128_t inverse = wasm_f32x4_splat(zero ? 0.0f : 127.0f / peak);
      const auto four = [&](int at) {
        if (zero) return wasm_i32x4_const_splat(0);
        const v128_t scaled = wasm_f32x4_nearest(wasm_f32x4_mul(LoadFour(row, at, columns), inverse));
        return wasm_i32x4_max(wasm_i32x4_min(wasm_i32x4_trunc_sat_f32x4(scaled), limit), lowest);
      };
      for (; s < end; ++s) {
        const int octets = s == plan.segments - 1 ? plan.tail_octets : plan.octets;
        v128_t sum = wasm_i32x4_const_splat(0);
        for (int o = 0; o < octets; ++o, k += kOctet, to += rows * kOctet) {
          const v128_t first = four(k), second = four(k + 4);
          sum = wasm_i32x4_add(sum, wasm_i32x4_add(first, second));
          const v128_t words = wasm_i16x8_narrow_i32x4(first, second);
          wasm_v128_store64_lane(to, wasm_i8x16_narrow_i16x8(words, words), 0);
        }
        base[s * rows + r] = base_factor * SumOfLanes(sum);
      }
    }
  }
}

// x is [columns][rows]: one fma chain over k for each output.
void MultiplyFloatWasm(const float* x, int rows, const float* panel, int columns, bool first, float* out, int64_t ldo) {
  constexpr int kVectors = kBlockRows / 4;
  for (int r = 0; r < rows; ++r) {
    v128_t sum[kVectors];
    for (int v = 0; v < kVectors; ++v)
      sum[v] = first ? wasm_f32x4_const_splat(0) : wasm_v128_load(out + r * ldo + 4 * v);
    for (int k = 0; k < columns; ++k) {
      const v128_t factor = wasm_v128_load32_splat(x + k * rows + r);
      for (int v = 0; v < kVectors; ++v) sum[v] = Fma(factor, wasm_v128_load(panel + k * kBlockRows + 4 * v), sum[v]);
    }
    for (int v = 0; v < kVectors; ++v) wasm_v128_store(out + r * ldo + 4 * v, sum[v]);
  }
}

#define LLM_WASM_ROWS(F)                                                                   \
  {RowsWasm<WeightFormat::F, 1, VectorsOf(1)>, RowsWasm<WeightFormat::F, 2, VectorsOf(2)>, \
   RowsWasm<WeightFormat::F, 3, VectorsOf(3)>, RowsWasm<WeightFormat::F, 4, VectorsOf(4)>, \
   RowsWasm<WeightFormat::F, 5, VectorsOf(5)>, RowsWasm<WeightFormat::F, 6, VectorsOf(6)>}

#define LLM_WASM_ALL_ROWS                                                                                              \
  {LLM_WASM_ROWS(kSym4), LLM_WASM_ROWS(kAsym4), LLM_WASM_ROWS(kMin4),  LLM_WASM_ROWS(kTwo4), LLM_WASM_ROWS(kTwo4Asym), \
   LLM_WASM_ROWS(kInt8), LLM_WASM_ROWS(kSym2),  LLM_WASM_ROWS(kAsym2), LLM_WASM_ROWS(kSym3), LLM_WASM_ROWS(kAsym3)}

constexpr MatmulKernels WasmKernels() {
  constexpr MatmulKernels::RowsKernel kRows[kPackedFormats][kChunkRows] = LLM_WASM_ALL_ROWS;
  MatmulKernels kernels = kScalarKernels;
  for (int f = 0; f < kPackedFormats; ++f)
    for (int r = 0; r < kChunkRows; ++r) kernels.rows[f][r] = kRows[f][r];
#if !defined(__wasm_relaxed_simd__)
  constexpr MatmulKernels::WidenQuants kWiden[kPackedFormats] = {
      WasmDot<WeightFormat::kSym4>::Widen, WasmDot<WeightFormat::kAsym4>::Widen,    WasmDot<WeightFormat::kMin4>::Widen,
      WasmDot<WeightFormat::kTwo4>::Widen, WasmDot<WeightFormat::kTwo4Asym>::Widen, WasmDot<WeightFormat::kInt8>::Widen,
      WasmDot<WeightFormat::kSym2>::Widen, WasmDot<WeightFormat::kAsym2>::Widen,    WasmDot<WeightFormat::kSym3>::Widen,
      WasmDot<WeightFormat::kAsym3>::Widen};
  for (int f = 0; f < kPackedFormats; ++f) kernels.widen[f] = kWiden[f];
#endif
  kernels.quantize = QuantizeWasm;
  kernels.multiply_float = MultiplyFloatWasm;
  return kernels;
}

}  // namespace
}  // namespace llm
