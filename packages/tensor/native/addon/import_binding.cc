#include <string>

#include "addon/bindings.h"
#include "addon/matrix_arguments.h"
#include "addon/packing_work.h"
#include "packing/gguf.h"
#include "packing/stored_linear.h"
#include "packing/transpose.h"

namespace llm {
namespace {

constexpr double kLimit = 2147483647;

double NumberAt(const Napi::CallbackInfo& info, size_t index) { return info[index].As<Napi::Number>().DoubleValue(); }

bool BoolAt(const Napi::CallbackInfo& info, size_t index) { return info[index].As<Napi::Boolean>().Value(); }

// Bytes that work reads: `memory` keeps them.
struct Source {
  std::shared_ptr<Memory> memory;
  const uint8_t* data = nullptr;
};

// (storage, offset) from argument `first` on.
bool ReadSource(const Napi::CallbackInfo& info, size_t first, int64_t bytes, Source* source) {
  const double offset = NumberAt(info, first + 1);
  source->memory = CheckedBytes(info.Env(), info[first], offset, static_cast<double>(bytes));
  if (source->memory == nullptr) return false;
  source->data = source->memory->data() + static_cast<size_t>(offset);
  return true;
}

// (type): [format, groupSize] that a GGUF type becomes, or undefined
Napi::Value GgufTarget(const Napi::CallbackInfo& info) {
  const GgufType* const type = FindGgufType(info[0].As<Napi::String>().Utf8Value());
  if (type == nullptr) return info.Env().Undefined();
  Napi::Array target = Napi::Array::New(info.Env(), 2);
  target.Set(0u, std::string(kFormatNames[static_cast<int>(type->format)]));
  target.Set(1u, type->group);
  return target;
}

// (type, source storage, offset, rows, columns, rowOrder | undefined, target storage, offset, later): largest error
Napi::Value ImportGgufMatrix(const Napi::CallbackInfo& info) {
  const GgufType* const type = FindGgufType(info[0].As<Napi::String>().Utf8Value());
  const double rows = NumberAt(info, 3), columns = NumberAt(info, 4);
  const bool packed = type != nullptr && IsPacked(type->format);
  PackedLayout layout = {};
  bool valid = type != nullptr && rows >= 1 && rows <= kLimit && columns >= 1 && columns <= kLimit &&
               static_cast<int64_t>(columns) % type->values == 0;
  if (valid && packed) {
    valid =
        MakePackedLayout(type->format, static_cast<int64_t>(rows), static_cast<int64_t>(columns), type->group, &layout);
  }
  if (!valid) return Fail(info.Env(), "INVALID_ARGUMENT", "no GGUF tensor has this type and shape");
  const int64_t row_count = static_cast<int64_t>(rows), width = static_cast<int64_t>(columns);

  Source source;
  Target target;
  int32_t* order = nullptr;
  if (!ReadSource(info, 1, row_count * (width / type->values) * type->bytes, &source) ||
      !ReadTarget(info, 6, packed ? layout.Bytes() : 2 * row_count * width, &target) ||
      !ReadArray(info, 5, row_count, !info[5].IsUndefined(), "rowOrder", &order))
    return {};
  for (int64_t row = 0; order != nullptr && row < row_count; ++row)
    if (order[row] < 0 || order[row] >= row_count)
      return Fail(info.Env(), "INVALID_ARGUMENT", "rowOrder names a row that does not exist");
  return RunNowOrLater(info, BoolAt(info, 8), [=] {
    const GgufSource from = {type, source.data, order};
    if (packed) {
      return ForBlocks(layout.blocks,
                       [&](int64_t begin, int64_t end) { return ImportGguf(from, layout, begin, end, target.data); });
    }
    return ForBlocks(row_count, [&](int64_t begin, int64_t end) {
      return DequantizeGguf(from, width, begin, end, reinterpret_cast<uint16_t*>(target.data) + begin * width);
    });
  });
}

bool ReadOrder(const Napi::CallbackInfo& info, size_t index, FieldOrder* order) {
  const double number = NumberAt(info, index);
  if (!(number >= 0 && number < kFieldOrders)) return false;
  *order = static_cast<FieldOrder>(static_cast<int>(number));
  return true;
}

// Codes of this shape: (storage, offset, order, bits) from argument `first` on.
bool ReadCodes(const Napi::CallbackInfo& info, size_t first, int64_t rows, int64_t columns, FieldMatrix* codes,
               Source* source) {
  *codes = {FieldOrder::kDown, static_cast<int>(NumberAt(info, first + 3)), rows, columns, nullptr, 0};
  const int64_t bytes = ReadOrder(info, first + 2, &codes->order) ? FieldBytes(*codes) : 0;
  if (bytes == 0) {
    Fail(info.Env(), "INVALID_ARGUMENT", "no fields of so many bits have this shape and order");
    return false;
  }
  if (!ReadSource(info, first, bytes, source)) return false;
  codes->words = source->data;
  return true;
}

// (target storage, offset, format, rows, columns, groupSize, codes storage, offset, order, bits,
//  scales storage, offset, type, byRow, zeros storage | undefined, offset, order, addedToWords, addedToFields, later):
// largest error
Napi::Value ImportStoredLinear(const Napi::CallbackInfo& info) {
  Weight weight;
  if (!ReadWeight(info, 2, &weight)) return {};
  PackedLayout layout = {};
  StoredLinear from = {};
  Source codes, scales, zeros;
  Target target;
  if (!ReadCodes(info, 6, weight.rows, weight.columns, &from.codes, &codes)) return {};
  const bool has_zeros = !info[14].IsUndefined();
  const double scale_type = NumberAt(info, 12);
  if (!MakePackedLayout(weight.format, weight.rows, weight.columns, weight.group, &layout) ||
      IsTwoLevel(weight.format) || HasMinima(weight.format) || has_zeros != HasZeroPoints(weight.format) ||
      CodeBits(weight.format) != from.codes.bits || !(scale_type >= 0 && scale_type <= 2))
    return Fail(info.Env(), "INVALID_ARGUMENT", "the packed format does not have the fields of the stored linear");
  from.groups = layout.groups;
  from.scale_type = static_cast<ScaleType>(static_cast<int>(scale_type));
  from.scales_by_row = BoolAt(info, 13);
  const int64_t scale_bytes = weight.rows * layout.groups * (from.scale_type == ScaleType::kF32 ? 4 : 2);
  if (!ReadSource(info, 10, scale_bytes, &scales) || !ReadTarget(info, 0, layout.Bytes(), &target)) return {};
  from.scales = scales.data;
  if (has_zeros) {
    FieldMatrix& fields = from.zero_points;
    fields = {FieldOrder::kDown, from.codes.bits, layout.groups, weight.rows, nullptr, 0};
    if (!ReadOrder(info, 16, &fields.order)) return Fail(info.Env(), "INVALID_ARGUMENT", "unknown order of fields");
    if (fields.order == FieldOrder::kInterleaved) std::swap(fields.rows, fields.columns);
    const int64_t bytes = FieldBytes(fields);
    if (bytes == 0) return Fail(info.Env(), "INVALID_ARGUMENT", "no zero points have this shape");
    if (!ReadSource(info, 14, bytes, &zeros)) return {};
    fields.words = zeros.data;
    fields.added = static_cast<uint32_t>(NumberAt(info, 17));
    from.zero_added = static_cast<int>(NumberAt(info, 18));
  }
  return RunNowOrLater(info, BoolAt(info, 19), [=] {
    (void)codes, (void)scales, (void)zeros;  // kept alive
    return ForBlocks(layout.blocks,
                     [&](int64_t begin, int64_t end) { return ImportLinear(from, layout, begin, end, target.data); });
  });
}

// (target storage, offset, rows, columns, codes storage, offset, order, bits, groups, scales, zeroPoints, groupOf,
//  later): largest error
Napi::Value DequantizeStoredLinear(const Napi::CallbackInfo& info) {
  const double rows = NumberAt(info, 2), columns = NumberAt(info, 3), groups = NumberAt(info, 8);
  if (!(rows >= 1 && rows <= kLimit && columns >= 1 && columns <= kLimit && groups >= 1 && groups <= columns))
    return Fail(info.Env(), "INVALID_ARGUMENT", "no linear has this shape");
  const int64_t row_count = static_cast<int64_t>(rows), width = static_cast<int64_t>(columns);
  const int group_count = static_cast<int>(groups);
  FieldMatrix fields;
  Source codes;
  Target target;
  float* scales = nullptr;
  uint8_t* zeros = nullptr;
  int32_t* group_of = nullptr;
  if (!ReadCodes(info, 4, row_count, width, &fields, &codes) || !ReadTarget(info, 0, 2 * row_count * width, &target) ||
      !ReadArray(info, 9, row_count * group_count, true, "scales", &scales) ||
      !ReadArray(info, 10, row_count * group_count, true, "zeroPoints", &zeros) ||
      !ReadArray(info, 11, width, true, "groupOf", &group_of))
    return {};
  for (int64_t k = 0; k < width; ++k)
    if (group_of[k] < 0 || group_of[k] >= group_count)
      return Fail(info.Env(), "INVALID_ARGUMENT", "groupOf names a group that does not exist");
  return RunNowOrLater(info, BoolAt(info, 12), [=] {
    (void)codes;  // kept alive
    uint16_t* const out = reinterpret_cast<uint16_t*>(target.data);
    // Whole blocks of 32 rows, the unit in which fields are read.
    return ForBlocks((row_count + kBlockRows - 1) / kBlockRows, [&](int64_t begin, int64_t end) {
      const int64_t first = begin * kBlockRows, last = std::min(row_count, end * kBlockRows);
      return DequantizeFields(fields, group_count, scales, zeros, group_of, first, last, out + first * width);
    });
  });
}

template <class T>
float Transpose(const uint8_t* from, int64_t rows, int64_t columns, uint8_t* to) {
  return ForBlocks(rows, [&](int64_t begin, int64_t end) {
    TransposeRows(from, rows, columns, begin, end, reinterpret_cast<T*>(to));
    return 0.0f;
  });
}

// (source storage, offset, bytes of an element: 2 or 4, rows, columns, target storage, offset, later): 0.
// The source is [columns, rows].
Napi::Value TransposeMatrix(const Napi::CallbackInfo& info) {
  const double size = NumberAt(info, 2), rows = NumberAt(info, 3), columns = NumberAt(info, 4);
  Source source;
  Target target;
  if (!(size == 2 || size == 4) || !(rows >= 1 && rows <= kLimit && columns >= 1 && columns <= kLimit))
    return Fail(info.Env(), "INVALID_ARGUMENT", "no matrix has this shape");
  const int64_t row_count = static_cast<int64_t>(rows), width = static_cast<int64_t>(columns);
  const int64_t bytes = static_cast<int64_t>(size) * row_count * width;
  if (!ReadSource(info, 0, bytes, &source) || !ReadTarget(info, 5, bytes, &target)) return {};
  return RunNowOrLater(info, BoolAt(info, 7), [=] {
    (void)source, (void)target;  // kept alive
    return size == 2 ? Transpose<uint16_t>(source.data, row_count, width, target.data)
                     : Transpose<uint32_t>(source.data, row_count, width, target.data);
  });
}

}  // namespace

void DefineImports(Napi::Env env, Napi::Object exports) {
  exports.Set("ggufTarget", Napi::Function::New(env, GgufTarget, "ggufTarget"));
  exports.Set("importGguf", Napi::Function::New(env, ImportGgufMatrix, "importGguf"));
  exports.Set("importLinear", Napi::Function::New(env, ImportStoredLinear, "importLinear"));
  exports.Set("dequantizeLinear", Napi::Function::New(env, DequantizeStoredLinear, "dequantizeLinear"));
  exports.Set("transposeMatrix", Napi::Function::New(env, TransposeMatrix, "transposeMatrix"));
}

}  // namespace llm
