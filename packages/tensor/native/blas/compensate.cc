#include "blas/compensate.h"

#include <algorithm>
#include <cmath>

#include "threads/on_pool.h"

namespace llm {
namespace {

void RoundRow(const Compensation& task, int64_t row) {
  const int groups = (task.columns + task.group - 1) / task.group, width = task.stop - task.block;
  float* const live = task.live + row * task.columns;
  float* const errors = task.errors + row * width - task.block;
  float* const values = task.values == nullptr ? nullptr : task.values + row * width - task.block;
  double squares = 0;
  for (int i = task.begin; i < task.end; ++i) {
    const int column = task.permutation[i];
    const int64_t index = row * groups + column / task.group;
    const double scale = task.scales[index], minimum = task.minima == nullptr ? 0 : task.minima[index];
    const double symmetric = task.minima == nullptr ? (task.max_code + 1) / 2 : 0;
    const double zero = task.zero_points == nullptr ? symmetric : task.zero_points[index];
    const float w = live[i];
    double code = zero;
    if (scale != 0) code += std::nearbyint(static_cast<float>((w - minimum) / scale));
    code = std::clamp(code, 0.0, double{1} * task.max_code);
    task.codes[row * task.columns + column] = static_cast<uint8_t>(code);

    const float* const factors = task.inverse + int64_t{i} * task.columns;
    const auto rounded = static_cast<float>(scale * (code - zero) + minimum);
    const float error = (w - rounded) / factors[i];
    errors[i] = error;
    squares += double{error} * error;
    for (int j = i + 1; j < task.stop; ++j) live[j] -= error * factors[j];
    if (values == nullptr) continue;
    values[i] = w;
    const float* const shares = task.correction + int64_t{i} * task.columns;
    for (int j = i + 1; j < task.stop; ++j) live[j] += w * shares[j];
  }
  task.squares[row] += squares;
}

}  // namespace

void RoundColumns(const Compensation& task) {
  OnPool(task.rows, 8, [&task](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) RoundRow(task, row);
  });
}

}  // namespace llm
