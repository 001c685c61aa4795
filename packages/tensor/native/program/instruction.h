// A program as the executor sees it: the instructions of src/program-description.ts, checked, with their weights kept
// alive.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/attention_kernels.h"
#include "kernels/matmul.h"
#include "memory/memory.h"

namespace llm {

enum class NormKind : uint8_t { kNone, kRms, kLayer, kScale };  // kScale: x * weight, nothing normalised

struct Norm {
  NormKind kind = NormKind::kNone;
  std::vector<float> weight, bias;  // bias may be empty
  float epsilon = 0;
};

// Heads inside a buffer: head h starts at column + h * head_stride; those of a query that is grouped by its keys'
// heads, n to each, at column + h / n * group_stride + h % n * head_stride.
struct Slice {
  int buffer = 0;
  int column = 0;
  int head_stride = 0;
  int group_stride = 0;  // 0: all heads are head_stride apart

  int64_t Group(int group, int heads) const {
    const int64_t stride = group_stride > 0 ? group_stride : static_cast<int64_t>(heads) * head_stride;
    return column + group * stride;
  }
};

struct Table {
  Weight weight = {};
  std::shared_ptr<Memory> memory;  // keeps weight.data alive
};

struct LinearPart {
  std::string name;
  Table table;
  std::vector<float> bias;  // may be empty
  Slice out;
};

enum class Op : uint8_t {
  kEmbed,
  kPositions,
  kNorm,
  kHeadNorm,
  kLinear,
  kAttention,
  kAdd,
  kMul,
  kActivation,
  kScale,
  kSoftcap,
  kClamp,
  kTake,
  kOutputs,
};

enum class Activation : uint8_t { kSilu, kGelu, kGeluTanh, kRelu };
enum class Epilogue : uint8_t { kNone, kAdd, kActivation, kGated, kClamp };

// The fields that an operator does not name keep their defaults.
struct Instruction {
  Op op = Op::kAdd;
  std::string name;  // for profiles and messages
  int in = 0, other = 0, out = 0;
  Norm norm;
  float factor = 1;  // scale, cap
  float low = 0, high = 0;
  Activation activation = Activation::kSilu;
  std::vector<int32_t> channels;

  Table table;  // embed, positions
  int64_t offset = 0;

  int heads = 0;  // headNorm, attention
  Slice slice;    // headNorm

  Compute compute = Compute::kInt8;
  int span = kDefaultSpan;
  std::vector<LinearPart> parts;
  Epilogue epilogue = Epilogue::kNone;
  std::vector<int> residuals;
  Norm sum_norm;  // before the linear's own: its input is residual + norm(in), kept in sum_out
  int sum_residual = -1;
  int sum_out = -1;    // -1: the input is `in`
  bool joins = false;  // needs nothing of the instruction before it

  int layer = 0;
  int kv_heads = 0;
  Slice q, k, v, o;
  int rope_table = -1;
  bool rope_interleaved = false;
  Norm key_norm;  // norm is the query's
  int64_t window = 0;
  float softcap = 0;
  std::vector<float> alibi;
};

struct Buffer {
  std::string name;
  int width = 0;
  int64_t offset = 0;  // floats, for each row
  bool outputs = false;
};

struct RopeTable {
  int rotary_dim = 0;
  std::vector<float> values;  // [positions][rotary_dim / 2][2]

  int64_t positions() const { return rotary_dim == 0 ? 0 : static_cast<int64_t>(values.size()) / rotary_dim; }
};

struct Program {
  int max_tokens = 0;
  int vocabulary = 0;
  int64_t row_floats = 0;
  std::vector<Buffer> buffers;
  std::vector<RopeTable> rope_tables;
  std::vector<Instruction> instructions;
  int logits = 0, hidden = 0;

  int layers = 0;
  int kv_heads = 0;
  KvLayout cache = {};
  int blocks = 0;

  // What the checks below find out.
  int64_t context = 0;    // the most tokens that a sequence can hold
  int tail = 0;           // the first instruction whose rows are outputs
  bool shiftable = true;  // whether cached tokens can move to other positions

  // Empty, or what is wrong with it.
  std::string Check();
};

}  // namespace llm
