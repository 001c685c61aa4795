#include "packing/rounding.h"

#include <algorithm>
#include <limits>

#include "packing/codes.h"
#include "packing/group_grid.h"

namespace llm {
namespace {

constexpr int kLanes = 4;  // running values of a loop over a group, for compilers to make a vector of

size_t Lines(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

struct Extremes {
  float bottom, top;  // of the weights and 0
  bool finite;
};

// Joins all elements and 0.
template <class Join>
float Reduce(const float* w, int count, const Join& join) {
  float lanes[kLanes] = {};
  int i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int j = 0; j < kLanes; ++j) lanes[j] = join(lanes[j], w[i + j]);
  for (; i < count; ++i) lanes[0] = join(lanes[0], w[i]);
  float all = 0;
  for (const float lane : lanes) all = join(all, lane);
  return all;
}

Extremes ExtremesOf(const float* w, int count) {
  const float bottom = Reduce(w, count, [](float all, float x) { return x < all ? x : all; });
  const float top = Reduce(w, count, [](float all, float x) { return x > all ? x : all; });
  // NaN from the first weight on that is not finite.
  const float zero = Reduce(w, count, [](float all, float x) { return all + x * 0; });
  return {bottom, top, zero == 0};
}

void Encode(const CodeRange& range, const float* w, int count, uint8_t* codes) {
  // Dividing by infinity gives the code of 0, which is what a scale of 0 means.
  const float scale = range.scale == 0 ? std::numeric_limits<float>::infinity() : range.scale;
  const float low = range.low, high = range.high;
  for (int i = 0; i < count; ++i) {
    // Clipped first: the rounding is right for small numbers only, and the ends are integers.
    float code = w[i] / scale;
    code = code < low ? low : code;
    code = code > high ? high : code;
    codes[i] = static_cast<uint8_t>(static_cast<int32_t>(RoundToInteger(code) - low));
  }
}

}  // namespace

bool CanRound(WeightFormat format) { return IsPacked(format) && !IsTwoLevel(format) && !HasMinima(format); }

size_t RoundingScratchBytes(const PackedLayout& layout) {
  const size_t columns = static_cast<size_t>(layout.columns), groups = static_cast<size_t>(layout.groups);
  return kBlockRows * (Lines(columns * sizeof(float)) + Lines(columns) + Lines(groups * sizeof(float)) + Lines(groups));
}

int64_t RoundToNearest(const Weight& from, const PackedLayout& layout, int64_t block_begin, int64_t block_end,
                       uint8_t* scratch, uint8_t* data) {
  const int64_t columns = layout.columns;
  const int group = layout.group_octets * kOctet, bits = CodeBits(layout.format);
  const bool symmetric = !HasZeroPoints(layout.format);
  const auto take = [&scratch](size_t bytes) {
    uint8_t* const at = scratch;
    scratch += kBlockRows * Lines(bytes);
    return at;
  };
  float* const values = reinterpret_cast<float*>(take(columns * sizeof(float)));
  PlainCodes plain = {};
  plain.codes = take(static_cast<size_t>(columns));
  plain.scales = reinterpret_cast<float*>(take(layout.groups * sizeof(float)));
  plain.zero_points = take(static_cast<size_t>(layout.groups));

  PackedLayout one = layout;  // a matrix of one block
  one.blocks = 1;
  for (int64_t b = block_begin; b < block_end; ++b) {
    const int64_t first = b * kBlockRows;
    one.rows = std::min<int64_t>(kBlockRows, layout.rows - first);
    DequantizeRows(from, first, first + one.rows, values);
    for (int64_t row = 0; row < one.rows; ++row)
      for (int g = 0; g < layout.groups; ++g) {
        const int64_t begin = row * columns + static_cast<int64_t>(g) * group;
        const int count = static_cast<int>(std::min<int64_t>(group, (row + 1) * columns - begin));
        const Extremes extremes = ExtremesOf(values + begin, count);
        if (!extremes.finite) return first + row;
        const CodeRange range = FitCodes(extremes.bottom, extremes.top, bits, symmetric);
        Encode(range, values + begin, count, plain.codes + begin);
        plain.scales[row * layout.groups + g] = range.scale;
        plain.zero_points[row * layout.groups + g] = static_cast<uint8_t>(-range.low);
      }
    PackCodes(one, plain, 0, 1, data + b * layout.block_bytes);
  }
  return -1;
}

}  // namespace llm
