// Nothing that comes from JavaScript is trusted: whatever the executor indexes with is checked here, once.
#include <algorithm>

#include "program/instruction.h"

namespace llm {
namespace {

class Checker {
 public:
  explicit Checker(Program& program) : p_(program) {}

  std::string Run() {
    CheckSizes();
    if (error_.empty()) CheckBuffers();
    p_.tail = static_cast<int>(p_.instructions.size());
    for (size_t i = 0; i < p_.instructions.size() && error_.empty(); ++i) {
      if (p_.instructions[i].op == Op::kOutputs) p_.tail = std::min(p_.tail, static_cast<int>(i));
      CheckInstruction(p_.instructions[i], static_cast<int>(i));
      if (!error_.empty()) error_ = "Instruction " + std::to_string(i) + ", " + p_.instructions[i].name + ": " + error_;
    }
    return error_;
  }

 private:
  void Expect(bool condition, const char* what) {
    if (!condition && error_.empty()) error_ = what;
  }

  void CheckSizes() {
    constexpr int kMaxTokens = 1 << 16, kMaxBlocks = 1 << 24;
    Expect(p_.max_tokens >= 1 && p_.max_tokens <= kMaxTokens, "maxTokens must be from 1 to 65536.");
    Expect(p_.vocabulary >= 1, "vocabularySize must be positive.");
    Expect(p_.row_floats >= 1 && p_.row_floats <= int64_t{1} << 32, "rowFloats must be positive.");
    Expect(p_.layers >= 0 && p_.kv_heads >= 0, "The cache's layers and heads must not be negative.");
    Expect(p_.layers * p_.kv_heads == 0 || p_.cache.Valid(), "The cache's sizes do not fit together.");
    Expect(p_.cache.block_tokens >= 1 && p_.blocks >= 1 && p_.blocks <= kMaxBlocks, "The cache needs blocks.");
    if (!error_.empty()) return;
    p_.context = static_cast<int64_t>(p_.blocks) * p_.cache.block_tokens;
  }

  void CheckBuffers() {
    for (const Buffer& buffer : p_.buffers)
      Expect(buffer.width >= 1 && buffer.offset >= 0 && buffer.offset + buffer.width <= p_.row_floats,
             "A buffer is not inside rowFloats.");
    for (const RopeTable& table : p_.rope_tables) {
      Expect(table.rotary_dim >= 2 && table.rotary_dim % 2 == 0 && table.values.size() % table.rotary_dim == 0,
             "A rope table is no whole number of positions.");
      if (error_.empty()) p_.context = std::min(p_.context, table.positions());
    }
    Expect(IsBuffer(p_.logits) && IsBuffer(p_.hidden), "logits and hidden must be buffers.");
    if (!error_.empty()) return;
    Expect(p_.buffers[p_.logits].outputs && p_.buffers[p_.logits].width >= p_.vocabulary,
           "The logits need a buffer of outputs as wide as the vocabulary.");
  }

  bool IsBuffer(int index) const { return index >= 0 && index < static_cast<int>(p_.buffers.size()); }
  int Width(int index) const { return p_.buffers[index].width; }

  // Both in the same kind of rows.
  void Same(int a, int b) {
    Expect(IsBuffer(a) && IsBuffer(b), "There is no such buffer.");
    if (error_.empty()) Expect(p_.buffers[a].outputs == p_.buffers[b].outputs, "Rows of tokens and of outputs mix.");
  }
  void SameWidth(int a, int b) {
    Same(a, b);
    if (error_.empty()) Expect(Width(a) == Width(b), "The buffers' widths differ.");
  }
  void Written(int buffer, int index) {
    Expect(IsBuffer(buffer), "There is no such buffer.");
    if (error_.empty())
      Expect(index < p_.tail ? !p_.buffers[buffer].outputs : p_.buffers[buffer].outputs,
             "Rows of outputs are written after, rows of tokens before the first `outputs`.");
  }

  void CheckNorm(const Norm& norm, int width) {
    if (norm.kind == NormKind::kNone) return;
    Expect(static_cast<int>(norm.weight.size()) == width, "The norm's weight has another width.");
    Expect(norm.bias.empty() || static_cast<int>(norm.bias.size()) == width, "The norm's bias has another width.");
  }

  void CheckSlice(const Slice& slice, int heads, int width, int groups = 1) {
    Expect(IsBuffer(slice.buffer), "There is no such buffer.");
    if (!error_.empty()) return;
    const int in_group = heads / groups;
    const int64_t end =
        slice.Group(groups - 1, in_group) + static_cast<int64_t>(in_group - 1) * slice.head_stride + width;
    Expect(slice.column >= 0 && slice.head_stride >= 0 && slice.group_stride >= 0 && heads >= 1 && width >= 1 &&
               end <= Width(slice.buffer),
           "A slice reaches beyond its buffer.");
  }

  void CheckTable(const Table& table) { Expect(WeightBytes(table.weight) > 0, "The matrix has no valid shape."); }

  void CheckLinear(const Instruction& ins, int index) {
    Expect(IsBuffer(ins.in), "There is no such buffer.");
    Expect(!ins.parts.empty(), "A linear needs parts.");
    if (!error_.empty()) return;
    CheckNorm(ins.norm, Width(ins.in));
    CheckNorm(ins.sum_norm, Width(ins.in));
    if (ins.sum_out >= 0) {
      SameWidth(ins.in, ins.sum_out);
      Written(ins.sum_out, index);
      if (ins.sum_residual >= 0) SameWidth(ins.sum_residual, ins.sum_out);
      Expect(ins.sum_out != ins.in && ins.sum_out != ins.sum_residual, "A sum cannot write into what it reads.");
      Expect(ins.epilogue != Epilogue::kAdd, "A linear that makes a sum first adds nothing last.");
    }
    if (!error_.empty()) return;
    for (const LinearPart& part : ins.parts) {
      CheckTable(part.table);
      Expect(part.table.weight.columns == Width(ins.in), "A weight has other columns than the input.");
      Expect(part.bias.empty() || static_cast<int64_t>(part.bias.size()) == part.table.weight.rows,
             "A bias has another length.");
      if (!error_.empty()) return;
      if (ins.epilogue == Epilogue::kGated && &part != &ins.parts.front()) continue;
      CheckSlice(part.out, 1, static_cast<int>(part.table.weight.rows));
      Written(part.out.buffer, index);
      Same(ins.in, part.out.buffer);
      for (const int residual : ins.residuals) SameWidth(residual, part.out.buffer);
      Expect(part.out.buffer != ins.in && part.out.buffer != ins.sum_out, "A linear cannot write into its input.");
    }
    if (ins.epilogue != Epilogue::kGated) return;
    Expect(ins.parts.size() == 2 && ins.parts[0].table.weight.rows == ins.parts[1].table.weight.rows,
           "A gated linear has two parts of one size.");
  }

  void CheckAttention(const Instruction& ins, int index) {
    Expect(index < p_.tail, "Attention comes before the outputs are taken.");
    Expect(ins.layer >= 0 && ins.layer < p_.layers && ins.kv_heads == p_.kv_heads,
           "The cache has other layers or heads.");
    Expect(ins.kv_heads >= 1 && ins.heads >= 1 && ins.heads % ins.kv_heads == 0, "Heads are no multiple of kvHeads.");
    if (!error_.empty()) return;
    CheckSlice(ins.q, ins.heads, p_.cache.key_dim, ins.kv_heads);
    CheckSlice(ins.k, ins.kv_heads, p_.cache.key_dim);
    CheckSlice(ins.v, ins.kv_heads, p_.cache.value_dim);
    CheckSlice(ins.o, ins.heads, p_.cache.value_dim);
    CheckNorm(ins.norm, p_.cache.key_dim);
    CheckNorm(ins.key_norm, p_.cache.key_dim);
    Expect(ins.alibi.empty() || static_cast<int>(ins.alibi.size()) == ins.heads, "ALiBi needs a slope for each head.");
    Expect(ins.rope_table < static_cast<int>(p_.rope_tables.size()), "There is no such rope table.");
    if (!error_.empty()) return;
    if (ins.rope_table >= 0)
      Expect(p_.rope_tables[ins.rope_table].rotary_dim <= p_.cache.key_dim, "The rotation is wider than a head.");
    Written(ins.q.buffer, index);
    Written(ins.k.buffer, index);
    Written(ins.o.buffer, index);
    Expect(!p_.buffers[ins.v.buffer].outputs, "Rows of tokens and of outputs mix.");
  }

  void CheckInstruction(Instruction& ins, int index) {
    switch (ins.op) {
      case Op::kEmbed:
      case Op::kPositions:
        CheckTable(ins.table);
        Written(ins.out, index);
        if (!error_.empty()) return;
        Expect(!p_.buffers[ins.out].outputs, "Embeddings are rows of tokens.");
        Expect(ins.table.weight.columns == Width(ins.out), "The table has another width than the buffer.");
        if (ins.op == Op::kEmbed)
          Expect(ins.table.weight.rows >= p_.vocabulary, "The table has fewer rows than the vocabulary.");
        else
          p_.context = std::min(p_.context, ins.table.weight.rows - ins.offset);
        p_.shiftable = p_.shiftable && ins.op != Op::kPositions;
        Expect(p_.context >= 1 && ins.offset >= 0, "The table of positions is too short.");
        return;
      case Op::kNorm:
        Written(ins.out, index);
        SameWidth(ins.in, ins.out);
        if (error_.empty()) CheckNorm(ins.norm, Width(ins.in));
        return;
      case Op::kHeadNorm:
        Expect(!ins.norm.weight.empty(), "The norm has no weight.");
        if (!error_.empty()) return;
        CheckSlice(ins.slice, ins.heads, static_cast<int>(ins.norm.weight.size()));
        Written(ins.slice.buffer, index);
        CheckNorm(ins.norm, static_cast<int>(ins.norm.weight.size()));
        return;
      case Op::kLinear:
        return CheckLinear(ins, index);
      case Op::kAttention:
        return CheckAttention(ins, index);
      case Op::kAdd:
      case Op::kMul:
        SameWidth(ins.other, ins.out);
        [[fallthrough]];
      case Op::kActivation:
      case Op::kScale:
      case Op::kSoftcap:
      case Op::kClamp:
        SameWidth(ins.in, ins.out);
        return Written(ins.out, index);
      case Op::kTake:
        Same(ins.in, ins.out);
        Written(ins.out, index);
        if (!error_.empty()) return;
        Expect(static_cast<int>(ins.channels.size()) == Width(ins.out), "take needs a channel for each column.");
        for (const int32_t channel : ins.channels) Expect(channel >= 0 && channel < Width(ins.in), "No such channel.");
        Expect(ins.in != ins.out, "take cannot write into its input.");
        return;
      case Op::kOutputs:
        Expect(IsBuffer(ins.in) && !p_.buffers[ins.in].outputs, "outputs reads rows of tokens.");
        Written(ins.out, index);
        if (error_.empty()) Expect(Width(ins.in) == Width(ins.out), "The buffers' widths differ.");
        return;
    }
  }

  Program& p_;
  std::string error_;
};

}  // namespace

std::string Program::Check() { return Checker(*this).Run(); }

}  // namespace llm
