#include "blas/fake_quantize.h"

#include <algorithm>
#include <cmath>

#include "packing/group_grid.h"
#include "threads/on_pool.h"

namespace llm {
namespace {

// One group's grid.
struct GroupGrid : CodeRange {
  float minimum, maximum;  // of the weights and 0
  float bottom, top;       // the same, scaled
};

GroupGrid Fit(const FakeQuantization& task, const float* w, int count, float minimum_scale, float maximum_scale) {
  GroupGrid grid{};
  for (int i = 0; i < count; ++i) {
    grid.minimum = std::min(grid.minimum, w[i]);
    grid.maximum = std::max(grid.maximum, w[i]);
  }
  grid.bottom = minimum_scale * grid.minimum;
  grid.top = maximum_scale * grid.maximum;
  static_cast<CodeRange&>(grid) = FitCodes(grid.bottom, grid.top, task.bits, task.symmetric);
  return grid;
}

// What is rounded, kept to where RoundToInteger is right; all grids end far inside.
inline float Position(float w, float scale, float rounding) {
  constexpr float kFar = 1 << 20;
  const float x = w / scale + rounding;
  return x < -kFar ? -kFar : x > kFar ? kFar : x;
}

inline float Clip(float code, const GroupGrid& grid) {
  return code < grid.low ? grid.low : code > grid.high ? grid.high : code;
}

void Forward(const GroupGrid& grid, const float* w, const float* rounding, int count, float* out) {
  if (grid.scale == 0) {
    std::fill_n(out, count, 0.0f);
  } else if (rounding == nullptr) {
    for (int i = 0; i < count; ++i) out[i] = grid.scale * Clip(RoundToInteger(Position(w[i], grid.scale, 0)), grid);
  } else {
    for (int i = 0; i < count; ++i)
      out[i] = grid.scale * Clip(RoundToInteger(Position(w[i], grid.scale, rounding[i])), grid);
  }
}

struct ScaleGradients {
  float of_minimum_scale, of_maximum_scale;
};

ScaleGradients Backward(const FakeQuantization& task, const GroupGrid& grid, const float* w, const float* rounding,
                        const float* gradient, int count, float* of_rounding) {
  if (grid.scale == 0) {
    std::fill_n(of_rounding, count, 0.0f);
    return {0, 0};
  }
  double of_scale = 0, of_minimum = 0;
  for (int i = 0; i < count; ++i) {
    const float k = gradient[i];
    const float code = RoundToInteger(Position(w[i], grid.scale, rounding == nullptr ? 0 : rounding[i]));
    const bool inside = code >= grid.low && code <= grid.high;
    of_rounding[i] = inside ? k * grid.scale : 0;
    const float position = inside ? w[i] / grid.scale : 0;
    of_scale += double{k} * (double{Clip(code, grid)} - position);
    // An end of an asymmetric grid moves with the minimum through the zero point.
    if (!inside && !task.symmetric) {
      of_scale -= double{k} * double{grid.bottom / grid.scale};
      of_minimum += k;
    }
  }
  const int max_code = (1 << task.bits) - 1, half = 1 << (task.bits - 1);
  if (!task.symmetric) {
    const double step = of_scale / max_code;
    return {static_cast<float>((of_minimum - step) * grid.minimum), static_cast<float>(step * grid.maximum)};
  }
  const double step = of_scale / -half;
  if (-grid.bottom > grid.top) return {static_cast<float>(step * grid.minimum), 0};
  return {0, static_cast<float>(step * grid.maximum)};
}

// Calls visit(index of the group, its first element, its elements) for all groups, on the pool.
template <typename Visit>
void ForGroups(const FakeQuantization& task, const Visit& visit) {
  constexpr int64_t kLeastValues = 1 << 13;
  const int groups = task.Groups();
  OnPool(task.rows, (kLeastValues + task.columns - 1) / task.columns, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int g = 0; g < groups; ++g) {
        const int column = g * task.group;
        visit(row * groups + g, row * task.columns + column, std::min(task.group, task.columns - column));
      }
  });
}

float ScaleOf(const float* scales, int64_t group) { return scales == nullptr ? 1.0f : scales[group]; }

const float* From(const float* rounding, int64_t first) { return rounding == nullptr ? nullptr : rounding + first; }

}  // namespace

void FakeQuantize(const FakeQuantization& task, float* out) {
  ForGroups(task, [&](int64_t group, int64_t first, int count) {
    const float* const w = task.weights + first;
    const GroupGrid grid = Fit(task, w, count, ScaleOf(task.minimum_scale, group), ScaleOf(task.maximum_scale, group));
    Forward(grid, w, From(task.rounding, first), count, out + first);
  });
}

void RoundingErrors(const FakeQuantization& task, const float* column_scale, float* out) {
  ForGroups(task, [&](int64_t group, int64_t first, int count) {
    const float* const w = task.weights + first;
    float* const e = out + first;
    const float* const s = column_scale == nullptr ? nullptr : column_scale + first % task.columns;
    if (s == nullptr) {
      std::copy_n(w, count, e);
    } else {
      for (int i = 0; i < count; ++i) e[i] = w[i] * s[i];
    }
    const GroupGrid grid = Fit(task, e, count, ScaleOf(task.minimum_scale, group), ScaleOf(task.maximum_scale, group));
    Forward(grid, e, nullptr, count, e);
    if (s == nullptr) {
      for (int i = 0; i < count; ++i) e[i] = w[i] - e[i];
    } else {
      for (int i = 0; i < count; ++i) e[i] = w[i] - e[i] / s[i];
    }
  });
}

void FakeQuantizeBackward(const FakeQuantization& task, const float* gradient, float* of_rounding,
                          float* of_minimum_scale, float* of_maximum_scale) {
  ForGroups(task, [&](int64_t group, int64_t first, int count) {
    const float* const w = task.weights + first;
    const GroupGrid grid = Fit(task, w, count, ScaleOf(task.minimum_scale, group), ScaleOf(task.maximum_scale, group));
    const ScaleGradients scales =
        Backward(task, grid, w, From(task.rounding, first), gradient + first, count, of_rounding + first);
    of_minimum_scale[group] = scales.of_minimum_scale;
    of_maximum_scale[group] = scales.of_maximum_scale;
  });
}

}  // namespace llm
