// Every kernel table that runs here gives the bits of the scalar one: all formats, kernels, odd shapes, any split of
// the blocks. src/matmul-tables.test.ts asks more of the tables of x86; this runs under sanitizers and on emulated CPUs
// too.
#include "kernels/matmul.h"

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "cpu/features.h"
#include "kernels/select.h"
#include "kernels/select_matmul.h"
#include "packing/codes.h"
#include "testing/check.h"

namespace llm {
namespace {

template <class T>
class Aligned {
 public:
  explicit Aligned(size_t count) : bytes_(count * sizeof(T) + kLine) {}
  T* data() {
    const auto address = reinterpret_cast<uintptr_t>(bytes_.data());
    return reinterpret_cast<T*>((address + kLine - 1) / kLine * kLine);
  }

 private:
  std::vector<uint8_t> bytes_;
};

struct Case {
  Weight weight;
  int rows, span;
  std::vector<float> x;
};

// With the first and the last two blocks as calls of their own.
std::vector<float> Multiply(const KernelTable& table, Compute compute, const Case& c) {
  const int blocks = Blocks(c.weight), units = PrepareUnits(c.rows), columns = static_cast<int>(c.weight.columns);
  const int64_t ldo = int64_t{blocks} * kBlockRows;
  Aligned<uint8_t> prepared(PreparedBytes(compute, c.weight, c.rows, c.span));
  Aligned<uint8_t> scratch(MatmulScratchBytes(compute, c.weight, c.rows));
  std::vector<float> out(static_cast<size_t>(ldo * c.rows), -1.0f);
  for (int unit = 0; unit < units; ++unit)
    Prepare(table, compute, c.weight, c.span, c.x.data(), columns, c.rows, unit, unit + 1, prepared.data());
  for (int begin = 0; begin < blocks; begin = begin == 0 ? 1 : blocks)
    MatmulBlocks(table, compute, c.weight, c.span, c.x.data(), columns, prepared.data(), c.rows, begin,
                 begin == 0 ? 1 : blocks, out.data() + begin * kBlockRows, ldo, scratch.data());
  return out;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  for (size_t i = 0; i < a.size(); ++i)
    if (std::memcmp(&a[i], &b[i], sizeof(float)) != 0 && !(std::isnan(a[i]) && std::isnan(b[i]))) return false;
  return a.size() == b.size();
}

void TestTables() {
  std::mt19937 random(7);
  const auto below = [&](int n) { return static_cast<int>(random() % n); };
  const auto unit = [&] { return static_cast<float>(random()) * 0x1p-31f - 1.0f; };
  constexpr int kGroups[] = {0, 8, 24, 32, 64, 128}, kSpans[] = {8, 32, 64, 128, 512, 2048};
  const KernelTable* const scalar = FindKernels("scalar", HostCpu());
  CHECK(scalar != nullptr);
  for (int i = 0; i < 120; ++i) {
    Case c = {};
    const auto format = static_cast<WeightFormat>(below(kFirstPacked + kPackedFormats));
    c.weight = {format, 1 + below(100), 1 + below(i % 6 == 0 ? 2500 : 400), kGroups[below(6)], nullptr};
    if (!IsPacked(format)) c.weight.group = 0;
    c.rows = 1 + below(40);
    c.span = kSpans[below(6)];
    const auto bytes = static_cast<size_t>(WeightBytes(c.weight));
    CHECK(bytes > 0);
    Aligned<uint8_t> data(bytes);
    // Finite numbers of 16 and of 32 bits.
    for (size_t b = 0; b < bytes; ++b) data.data()[b] = static_cast<uint8_t>(random() & (b % 2 == 1 ? 0xBF : 0xFF));
    c.weight.data = data.data();
    for (int64_t v = 0; v < c.rows * c.weight.columns; ++v) c.x.push_back(unit());
    if (i % 10 == 0) c.x[below(static_cast<int>(c.x.size()))] = NAN;

    for (const Compute compute : {Compute::kInt8, Compute::kF32}) {
      CHECK(ForceMatmulPath(""));
      const std::vector<float> expected = Multiply(*scalar, compute, c);
      for (const CompiledTable& table : CompiledTables()) {
        if (!table.RunsOn(HostCpu())) continue;
        for (const char* path : {"", "rows", "panel", "tiles"}) {
          CHECK(ForceMatmulPath(path));
          if (SameBits(Multiply(table.kernels, compute, c), expected)) continue;
          std::fprintf(stderr, "%s '%s' format %d compute %d: %d x %d, group %d, span %d, %d rows\n", table.kernels.isa,
                       path, static_cast<int>(format), static_cast<int>(compute), static_cast<int>(c.weight.rows),
                       static_cast<int>(c.weight.columns), c.weight.group, c.span, c.rows);
          CHECK(false);
        }
      }
    }
  }
  CHECK(ForceMatmulPath(""));
  CHECK(!ForceMatmulPath("fastest"));
}

void TestRoundTrip() {
  std::mt19937 random(3);
  for (int f = kFirstPacked; f < kFirstPacked + kPackedFormats; ++f) {
    PackedLayout layout;
    CHECK(MakePackedLayout(static_cast<WeightFormat>(f), 45, 83, 24, &layout));
    const int64_t rows = layout.rows, groups = rows * layout.groups;
    std::vector<uint8_t> codes(rows * layout.columns), zeros(groups), multipliers(groups);
    std::vector<float> scales(groups), minima(groups);
    const unsigned mask = (1u << CodeBits(layout.format)) - 1;
    for (uint8_t& code : codes) code = static_cast<uint8_t>(random() & mask);
    for (uint8_t& zero : zeros) zero = static_cast<uint8_t>(random() & mask);
    for (uint8_t& multiplier : multipliers) multiplier = static_cast<uint8_t>(1 + random() % 16);
    for (float& scale : scales) scale = static_cast<float>(random() % 2048) / 1024.0f - 1.0f;
    for (float& minimum : minima) minimum = static_cast<float>(random() % 2048) / 1024.0f - 1.0f;
    Aligned<uint8_t> data(layout.Bytes());
    PackCodes(layout, {codes.data(), scales.data(), zeros.data(), minima.data(), multipliers.data()}, 0, layout.blocks,
              data.data());
    std::vector<uint8_t> codes2(codes.size()), zeros2(groups), multipliers2(groups);
    std::vector<float> scales2(groups), minima2(groups);
    UnpackCodes(layout, data.data(), 0, layout.blocks,
                {codes2.data(), scales2.data(), zeros2.data(), minima2.data(), multipliers2.data()});
    CHECK(codes == codes2);
    CHECK(!HasZeroPoints(layout.format) || zeros == zeros2);
    CHECK(!HasMinima(layout.format) || minima == minima2);
    CHECK(!IsTwoLevel(layout.format) || multipliers == multipliers2);
    const size_t count = IsTwoLevel(layout.format) ? rows : groups;
    CHECK(std::memcmp(scales.data(), scales2.data(), count * sizeof(float)) == 0);
  }
  PackedLayout layout;
  CHECK(!MakePackedLayout(WeightFormat::kSym4, 32, 64, 12, &layout));
  CHECK(!MakePackedLayout(WeightFormat::kSym4, 0, 64, 32, &layout));
  CHECK(!MakePackedLayout(WeightFormat::kSym4, 32, 1 << 20, 0, &layout));  // sums of such a group could overflow
  CHECK(!MakePackedLayout(WeightFormat::kF32, 32, 64, 32, &layout));
}

}  // namespace
}  // namespace llm

int main() {
  llm::TestTables();
  llm::TestRoundTrip();
}
