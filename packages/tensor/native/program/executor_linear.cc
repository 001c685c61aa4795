#include <algorithm>
#include <cstring>

#include "kernels/vector_kernels.h"
#include "program/executor.h"

namespace llm {
namespace {

constexpr int64_t kPrefetchBytes = int64_t{32} << 10;

}  // namespace

bool Executor::Linear(Worker& w, const Instruction& ins, const LinearPlan& plan) {
  const int rows = RowCount(InOutputs(ins));
  LinearInput input = {RowOf(ins.in, 0), nullptr, rows, Few(w, ins, plan)};
  if (plan.prepares && !PrepareLinear(w, ins, plan, &input)) return false;

  const int largest = std::max(1, tile_floats_ / (kBlockRows * rows));
  const int smallest = std::min(plan.smallest_chunk, largest);
  if (ins.epilogue == Epilogue::kGated) {
    queue_->Run(w.part, w.parts, w.calls++, plan.first_block[1], smallest, largest,
                [&](int begin, int end) { GatedBlocks(w, ins, plan, input, begin, end); });
    return true;
  }
  queue_->Run(w.part, w.parts, w.calls++, plan.first_block.back(), smallest, largest, [&](int begin, int end) {
    for (int part = 0; begin < end; ++part) {
      const int first = plan.first_block[part], last = std::min(end, plan.first_block[part + 1]);
      if (begin >= last) continue;
      LinearBlocks(w, ins, plan, input, part, begin - first, last - first);
      begin = last;
    }
  });
  return true;
}

// What a thread reads first of the next linear. Memory would be idle while the threads meet, norm and quantize: on Zen
// 4 that was 2 to 3 % of a decoded token.
void Executor::PrefetchLinear(const Worker& w, const Instruction& ins, const LinearPlan& plan) const {
  const bool gated = ins.epilogue == Epilogue::kGated;
  const int begin = WorkQueue::Border(gated ? plan.first_block[1] : plan.first_block.back(), w.part, w.parts);
  int part = 0;
  while (begin >= plan.first_block[part + 1]) ++part;
  const int first = plan.first_block[part], blocks = plan.first_block[part + 1] - first;
  const int64_t bytes = plan.bytes[part], offset = bytes * (begin - first) / blocks;
  const uint8_t* const from = ins.parts[part].table.weight.data + offset;
  const uint8_t* const to = from + std::min(kPrefetchBytes, bytes - offset);
  for (const uint8_t* line = from; line < to; line += kLine) __builtin_prefetch(line, 0, 2);
}

// A linear's input: the sum that it makes first, if any, and the norm.
void Executor::PrepareRow(const Instruction& ins, int row, const float* x, float* sum, float* normed) const {
  const int width = Width(ins.in);
  if (ins.sum_out >= 0) {
    if (ins.sum_norm.kind != NormKind::kNone) {
      ApplyNorm(ins.sum_norm, x, width, sum);
      x = sum;
    }
    if (ins.sum_residual >= 0) kernels_.vector->add(RowOf(ins.sum_residual, row), x, width, sum);
    x = sum;
  }
  if (ins.norm.kind != NormKind::kNone) ApplyNorm(ins.norm, x, width, normed);
}

// Norm and quantization. Of few rows every thread makes its own copy; many are shared out.
bool Executor::PrepareLinear(Worker& w, const Instruction& ins, const LinearPlan& plan, LinearInput* input) {
  const int rows = input->rows, width = Width(ins.in);
  const int64_t stride = width;
  float* const normed = input->few ? w.normed : normed_;
  uint8_t* const prepared = input->few ? w.prepared : prepared_;
  // Sums are for others too: of several copies one is theirs.
  float* const sums = ins.sum_out < 0 ? nullptr : input->few && w.part > 0 ? w.summed : RowOf(ins.sum_out, 0);
  const bool norms = ins.norm.kind != NormKind::kNone;
  const float* const from = input->x;
  input->x = norms ? normed : sums != nullptr ? sums : from;
  input->prepared = prepared;

  const int part = input->few ? 0 : w.part, parts = input->few ? 1 : w.parts;
  if (norms || sums != nullptr) {
    const int last = WorkQueue::Border(rows, part + 1, parts);
    for (int row = WorkQueue::Border(rows, part, parts); row < last; ++row)
      PrepareRow(ins, row, from + row * stride, sums == nullptr ? nullptr : sums + row * stride, normed + row * stride);
    if (!input->few && !Sync(w)) return false;
  }
  const int units = PrepareUnits(rows);
  bool quantized = false;
  for (const Preparation& p : plan.preparations) {
    if (PreparedBytes(ins.compute, *p.weight, 1, ins.span) == 0) continue;
    quantized = true;
    Prepare(kernels_, ins.compute, *p.weight, ins.span, input->x, width, rows, WorkQueue::Border(units, part, parts),
            WorkQueue::Border(units, part + 1, parts), prepared + (input->few ? p.few_offset : p.offset));
  }
  return input->few || !quantized || Sync(w);
}

void Executor::Multiply(Worker& w, const Instruction& ins, const LinearPlan& plan, const LinearInput& input, int part,
                        int begin, int end, float* out, int64_t ldo) {
  const Preparation& p = plan.preparations[plan.of_part[part]];
  const uint8_t* const prepared =
      input.prepared == nullptr ? nullptr : input.prepared + (input.few ? p.few_offset : p.offset);
  MatmulBlocks(kernels_, ins.compute, ins.parts[part].table.weight, ins.span, input.x, Width(ins.in), prepared,
               input.rows, begin, end, out, ldo, w.scratch);
}

void Executor::LinearBlocks(Worker& w, const Instruction& ins, const LinearPlan& plan, const LinearInput& input,
                            int part, int begin, int end) {
  const VectorKernels& vector = *kernels_.vector;
  const LinearPart& p = ins.parts[part];
  const int64_t column = static_cast<int64_t>(begin) * kBlockRows;
  const int64_t last = std::min(p.table.weight.rows, static_cast<int64_t>(end) * kBlockRows);
  const int columns = static_cast<int>(last - column);
  const int64_t stride = Width(p.out.buffer);
  float* const out = RowOf(p.out.buffer, 0) + p.out.column + column;

  // Whole blocks may go to their place at once, unless the epilogue still reads it.
  const bool direct = ins.epilogue != Epilogue::kAdd && columns % kBlockRows == 0;
  const int64_t ldo = direct ? stride : static_cast<int64_t>(end - begin) * kBlockRows;
  float* const y = direct ? out : w.tile;
  Multiply(w, ins, plan, input, part, begin, end, y, ldo);

  for (int row = 0; row < input.rows; ++row) {
    float* const from = y + row * ldo;
    float* const to = out + row * stride;
    if (!p.bias.empty()) vector.add(from, p.bias.data() + column, columns, from);
    if (ins.epilogue == Epilogue::kActivation) {
      Apply(ins.activation, from, columns, to);
    } else if (ins.epilogue == Epilogue::kClamp) {
      vector.clamp(from, ins.low, ins.high, columns, to);
    } else if (ins.epilogue == Epilogue::kAdd) {
      const float* sum = from;
      for (const int residual : ins.residuals) {
        vector.add(sum, RowOf(residual, row) + p.out.column + column, columns, to);
        sum = to;
      }
    } else if (!direct) {
      std::memcpy(to, from, sizeof(float) * columns);
    }
  }
}

void Executor::GatedBlocks(Worker& w, const Instruction& ins, const LinearPlan& plan, const LinearInput& input,
                           int begin, int end) {
  const VectorKernels& vector = *kernels_.vector;
  const LinearPart &gate_part = ins.parts[0], &up_part = ins.parts[1];
  const int64_t column = static_cast<int64_t>(begin) * kBlockRows;
  const int64_t last = std::min(gate_part.table.weight.rows, static_cast<int64_t>(end) * kBlockRows);
  const int columns = static_cast<int>(last - column);
  const int64_t ldo = static_cast<int64_t>(end - begin) * kBlockRows;
  float *const gates = w.tile, *const ups = w.tile + tile_floats_;
  Multiply(w, ins, plan, input, 0, begin, end, gates, ldo);
  Multiply(w, ins, plan, input, 1, begin, end, ups, ldo);

  for (int row = 0; row < input.rows; ++row) {
    float *const gate = gates + row * ldo, *const up = ups + row * ldo;
    float* const to = RowOf(gate_part.out.buffer, row) + gate_part.out.column + column;
    if (!gate_part.bias.empty()) vector.add(gate, gate_part.bias.data() + column, columns, gate);
    if (!up_part.bias.empty()) vector.add(up, up_part.bias.data() + column, columns, up);
    switch (ins.activation) {
      case Activation::kSilu:
        vector.silu_mul(gate, up, columns, to);
        break;
      case Activation::kGelu:
        vector.gelu_mul(gate, up, columns, to);
        break;
      case Activation::kGeluTanh:
        vector.gelu_tanh_mul(gate, up, columns, to);
        break;
      case Activation::kRelu:
        vector.relu_mul(gate, up, columns, to);
        break;
    }
  }
}

}  // namespace llm
