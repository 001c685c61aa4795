// Half-precision arithmetic against exact integers: every finite half is a whole number of 2^-24.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "cpu/features.h"
#include "kernels/f16_emulated-inl.h"
#include "kernels/f16_kernels.h"
#include "kernels/matmul.h"
#include "kernels/select.h"
#include "testing/check.h"

namespace llm {
namespace {

using Wide = __int128;

Wide Units(uint16_t half) { return static_cast<Wide>(std::ldexp(HalfToFloat(half), 24)); }

// The half nearest to `exact` units of 2^-48, ties to even.
float Nearest(Wide exact) {
  const bool negative = exact < 0;
  Wide magnitude = negative ? -exact : exact;
  int top = 0;
  while (magnitude >> top > 1) ++top;
  const int shift = top - 10 < 24 ? 24 : top - 10;
  Wide kept = magnitude >> shift;
  const Wide rest = magnitude - (kept << shift), half = Wide{1} << (shift - 1);
  if (rest > half || (rest == half && kept % 2 == 1)) ++kept;
  const double value = std::ldexp(static_cast<double>(kept), shift - 48);
  const float rounded = value > 65504 ? INFINITY : static_cast<float>(value);
  return negative ? -rounded : rounded;
}

uint16_t ReferenceFma(uint16_t a, uint16_t b, uint16_t c) {
  return FloatToHalf(Nearest(Units(a) * Units(b) + (Units(c) << 24)));
}

void TestFma() {
  std::mt19937 random(11);
  int subnormal = 0, infinite = 0;
  for (int i = 0; i < 300'000; ++i) {
    uint16_t v[3];
    for (uint16_t& half : v) half = static_cast<uint16_t>(random()) & 0xFBFF;             // finite, of any size
    if (i % 3 == 0) v[2] = FloatToHalf(-HalfToFloat(v[0]) * HalfToFloat(v[1])) & 0xFBFF;  // cancellation
    const uint16_t expected = ReferenceFma(v[0], v[1], v[2]), actual = FmaOfHalves(v[0], v[1], v[2]);
    CHECK(actual == expected || ((actual | expected) & 0x7FFF) == 0);
    subnormal += (expected & 0x7C00) == 0;
    infinite += (expected & 0x7FFF) == 0x7C00;
  }
  CHECK(subnormal > 1000 && infinite > 1000);
  CHECK((FmaOfHalves(0x7C00, 0x0000, 0x3C00) & 0x7FFF) > 0x7C00);  // infinity times zero
  CHECK(FmaOfHalves(0x7C00, 0x3C00, 0x3C00) == 0x7C00);
}

void TestProducts() {
  std::mt19937 random(5);
  const auto unit = [&] { return static_cast<float>(random()) * 0x1p-31f - 1.0f; };
  for (const int columns : {1, 31, 32, 33, 130, 300}) {
    constexpr int kRows = 13, kOutputs = 37;
    std::vector<float> x(kRows * columns), w(kOutputs * columns);
    for (float& value : x) value = unit();
    for (float& value : w) value = unit();
    const Weight weight = {WeightFormat::kF32, kOutputs, columns, 0, reinterpret_cast<const uint8_t*>(w.data())};
    for (const CompiledTable& table : CompiledTables()) {
      if (!table.RunsOn(HostCpu()) || table.kernels.f16 == nullptr) continue;
      const int64_t ldo = int64_t{Blocks(weight)} * kBlockRows;
      for (const int rows : {1, kRows}) {
        std::vector<float> out(static_cast<size_t>(ldo * rows));
        std::vector<uint8_t> prepared(PreparedBytes(Compute::kF16, weight, rows, 0) + kLine);
        std::vector<uint8_t> scratch(MatmulScratchBytes(Compute::kF16, weight, rows) + kLine);
        const auto aligned = [](std::vector<uint8_t>& bytes) {
          return reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(bytes.data()) + kLine - 1) / kLine * kLine);
        };
        Prepare(table.kernels, Compute::kF16, weight, 0, x.data(), columns, rows, 0, PrepareUnits(rows),
                aligned(prepared));
        MatmulBlocks(table.kernels, Compute::kF16, weight, 0, x.data(), columns, aligned(prepared), rows, 0,
                     Blocks(weight), out.data(), ldo, aligned(scratch));
        for (int r = 0; r < rows; ++r)
          for (int n = 0; n < kOutputs; ++n) {
            float sum = 0;
            for (int begin = 0; begin < columns; begin += kHalfRun) {
              uint16_t chain = 0;
              for (int k = begin; k < columns && k < begin + kHalfRun; ++k)
                chain = ReferenceFma(FloatToHalf(w[n * columns + k]), FloatToHalf(x[r * columns + k]), chain);
              sum += HalfToFloat(chain);
            }
            CHECK(out[r * ldo + n] == sum);
          }
      }
    }
  }
}

}  // namespace
}  // namespace llm

int main() {
  llm::TestFma();
  llm::TestProducts();
}
