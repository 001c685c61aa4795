#include "addon/bindings.h"
#include "addon/matrix_arguments.h"
#include "addon/matrix_handle.h"
#include "addon/packing_work.h"
#include "packing/codes.h"
#include "packing/rounding.h"

namespace llm {
namespace {

PackedLayout LayoutOf(const Weight& weight) {
  PackedLayout layout = {};
  MakePackedLayout(weight.format, weight.rows, weight.columns, weight.group, &layout);
  return layout;
}

// The arrays (codes, scales, zeroPoints, minima, multipliers) from argument `first` on; those that the format lacks are
// ignored.
bool ReadPlainCodes(const Napi::CallbackInfo& info, size_t first, const PackedLayout& layout, PlainCodes* plain) {
  const WeightFormat format = layout.format;
  const int64_t groups = layout.rows * layout.groups;
  return ReadArray(info, first, layout.rows * layout.columns, true, "codes", &plain->codes) &&
         ReadArray(info, first + 1, IsTwoLevel(format) ? layout.rows : groups, true, "scales", &plain->scales) &&
         ReadArray(info, first + 2, groups, HasZeroPoints(format), "zeroPoints", &plain->zero_points) &&
         ReadArray(info, first + 3, groups, HasMinima(format), "minima", &plain->minima) &&
         ReadArray(info, first + 4, groups, IsTwoLevel(format), "multipliers", &plain->multipliers);
}

bool AllAtMost(const uint8_t* values, int64_t count, int lowest, int highest) {
  uint8_t low = 255, high = 0;
  for (int64_t i = 0; i < count; ++i) {
    low = values[i] < low ? values[i] : low;
    high = values[i] > high ? values[i] : high;
  }
  return count == 0 || (low >= lowest && high <= highest);
}

// Why the values do not fit their fields, or null.
const char* FieldError(const PackedLayout& layout, const PlainCodes& plain) {
  const WeightFormat format = layout.format;
  const int64_t groups = layout.rows * layout.groups;
  const int highest = (1 << CodeBits(format)) - 1;
  if (!AllAtMost(plain.codes, layout.rows * layout.columns, 0, highest)) return "codes have too many bits";
  if (HasZeroPoints(format) && !AllAtMost(plain.zero_points, groups, 0, highest))
    return "zeroPoints have too many bits";
  if (IsTwoLevel(format) && !AllAtMost(plain.multipliers, groups, 1, 16)) return "multipliers must be 1..16";
  return nullptr;
}

// (storage, offset, format, rows, columns, groupSize, codes, scales, zeroPoints, minima, multipliers, later)
Napi::Value PackMatrix(const Napi::CallbackInfo& info) {
  Weight weight;
  if (!ReadWeight(info, 2, &weight)) return {};
  if (!IsPacked(weight.format)) return Fail(info.Env(), "INVALID_ARGUMENT", "a dense matrix has no codes");
  const PackedLayout layout = LayoutOf(weight);
  PlainCodes plain = {};
  Target target;
  if (!ReadTarget(info, 0, layout.Bytes(), &target) || !ReadPlainCodes(info, 6, layout, &plain)) return {};
  if (const char* const error = FieldError(layout, plain)) return Fail(info.Env(), "INVALID_ARGUMENT", error);
  return RunNowOrLater(info, info[11].As<Napi::Boolean>().Value(), [layout, plain, target] {
    return ForBlocks(layout.blocks, [&](int64_t begin, int64_t end) {
      PackCodes(layout, plain, begin, end, target.data);
      return 0.0f;
    });
  });
}

// (matrix, codes, scales, zeroPoints, minima, multipliers)
Napi::Value UnpackMatrix(const Napi::CallbackInfo& info) {
  const Weight* const weight = UnwrapMatrix(info[0]);
  if (weight == nullptr) return {};
  if (!IsPacked(weight->format)) return Fail(info.Env(), "INVALID_ARGUMENT", "a dense matrix has no codes");
  const PackedLayout layout = LayoutOf(*weight);
  PlainCodes plain = {};
  if (!ReadPlainCodes(info, 1, layout, &plain)) return {};
  ForBlocks(layout.blocks, [&](int64_t begin, int64_t end) {
    UnpackCodes(layout, weight->data, begin, end, plain);
    return 0.0f;
  });
  return {};
}

// (matrix, target storage, format, rows, columns, groupSize, row begin, row end): rows [begin, end), which are whole
// blocks, rounded to nearest on the background thread.
Napi::Value RoundMatrix(const Napi::CallbackInfo& info) {
  const MatrixHandle* const from = UnwrapMatrixHandle(info[0]);
  Weight weight;
  if (from == nullptr || !ReadWeight(info, 2, &weight)) return {};
  const PackedLayout layout = LayoutOf(weight);
  if (!CanRound(weight.format) || weight.rows != from->weight.rows || weight.columns != from->weight.columns)
    return Fail(info.Env(), "INVALID_ARGUMENT", "weights cannot be rounded to nearest into this matrix");
  const std::shared_ptr<Memory> target = CheckedBytes(info.Env(), info[1], 0, static_cast<double>(layout.Bytes()));
  if (target == nullptr) return {};
  const int64_t begin = info[6].As<Napi::Number>().Int64Value() / kBlockRows;
  const int64_t end = (info[7].As<Napi::Number>().Int64Value() + kBlockRows - 1) / kBlockRows;
  if (begin < 0 || begin > end || end > layout.blocks || !target->writable())
    return Fail(info.Env(), "INVALID_ARGUMENT", "the rows are not in the matrix");

  const auto work = [source = from->weight, memory = from->memory, target, layout, begin, end]() -> TaskFailure {
    const int parts = SharedPool().parts();
    const size_t bytes = RoundingScratchBytes(layout);
    const std::shared_ptr<Memory> scratch = AllocateMemory(bytes * static_cast<size_t>(parts));
    if (scratch == nullptr) return {"OUT_OF_MEMORY", "rounding needs memory", static_cast<double>(bytes) * parts};
    std::vector<int64_t> bad(static_cast<size_t>(parts), -1);
    ForBlocksInParts(parts, end - begin, [&](int part, int64_t first, int64_t last) {
      bad[part] = RoundToNearest(source, layout, begin + first, begin + last,
                                 scratch->data() + bytes * static_cast<size_t>(part), target->data());
    });
    for (const int64_t row : bad)
      if (row >= 0)
        return {"INVALID_ARGUMENT", "row " + std::to_string(row) + " has a weight that is not a finite number"};
    return {};
  };
  return RunInBackground(info.Env(), {info[0], info[1]}, work);
}

}  // namespace

void DefinePacking(Napi::Env env, Napi::Object exports) {
  exports.Set("packMatrix", Napi::Function::New(env, PackMatrix, "packMatrix"));
  exports.Set("unpackMatrix", Napi::Function::New(env, UnpackMatrix, "unpackMatrix"));
  exports.Set("roundMatrix", Napi::Function::New(env, RoundMatrix, "roundMatrix"));
}

}  // namespace llm
