#include "program/executor.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "kernels/vector_kernels.h"

namespace llm {
namespace {

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

bool Executor::Run(Step& step) {
  step_ = &step;
  ok_ = true;
  first_bad_ = -1;
  interrupted_[0] = interrupted_[1] = false;
  hidden_only_ = std::all_of(step.outputs.begin(), step.outputs.end(),
                             [](const OutputJob& job) { return job.logits == nullptr && job.sampler == nullptr; });
  const bool few = step.rows() <= kDecodeRows;
  PlanAttention(few ? options_.decode_threads : options_.threads);
  queue_->Reset();
  pool_.Run([](void* self, int part, int parts) { static_cast<Executor*>(self)->RunPart(part, parts); }, this,
            few ? options_.decode_threads : options_.threads);
  step_ = nullptr;
  return ok_;
}

void Executor::RunPart(int part, int parts) {
  Worker& w = workers_[part];
  w.parts = parts;
  w.barriers = w.calls = 0;
  w.instruction = -1;
  if (options_.profile) w.since = Now();

  const int rounds_end = hidden_only_ ? hidden_end_ : static_cast<int>(program_.instructions.size());
  bool done = RunInstructions(w, 0, program_.tail);
  const int outputs = static_cast<int>(step_->outputs.size());
  for (int begin = 0; begin < outputs && done; begin += output_rows_) {
    // The others read these after the barrier in front of the tail, and do not before.
    if (!Sync(w)) break;
    if (part == 0) {
      chunk_begin_ = begin;
      chunk_rows_ = std::min(output_rows_, outputs - begin);
    }
    done = Sync(w) && RunInstructions(w, program_.tail, rounds_end) && Sync(w);
    if (done) RunOutputs(w);
  }
  if (options_.profile && part == 0 && w.instruction >= 0) seconds_[w.instruction] += Now() - w.since;
  if (part == 0) ok_ = done;
}

bool Executor::RunInstructions(Worker& w, int begin, int end) {
  for (int i = begin; i < end; ++i) {
    const Instruction& ins = program_.instructions[i];
    if (barrier_before_[i] && !(plans_[i].joins && Few(w, ins, plans_[i])) && !Sync(w)) return false;
    if (options_.profile && w.part == 0) {
      const double now = Now();
      if (w.instruction >= 0) seconds_[w.instruction] += now - w.since;
      w.instruction = i;
      w.since = now;
    }
    const double began = options_.trace ? Now() : 0;
    bool done = true;
    if (ins.op == Op::kLinear) {
      done = Linear(w, ins, plans_[i]);
      if (const int next = plans_[i].next; next >= 0 && step_->rows() <= kDecodeRows)
        PrefetchLinear(w, program_.instructions[next], plans_[next]);
    } else if (ins.op == Op::kAttention) {
      done = Attention(w, ins);
    } else {
      const int rows = RowCount(InOutputs(ins));
      const int last = WorkQueue::Border(rows, w.part + 1, w.parts);
      for (int row = WorkQueue::Border(rows, w.part, w.parts); row < last; ++row) Row(w, ins, row);
    }
    if (!done) return false;
    if (options_.trace) Record(w, i, began);
    if (!options_.debug) continue;
    if (!Sync(w)) return false;
    if (w.part == 0) LookForBad(i);
    if (!Sync(w)) return false;
  }
  return true;
}

void Executor::Record(Worker& w, int instruction, double begin) {
  w.spans[w.traced++ % kTracedSpans] = {w.part, instruction, begin, Now()};
}

std::vector<Executor::Span> Executor::Trace() const {
  std::vector<Span> spans;
  for (const Worker& w : workers_) {
    const size_t count = std::min(w.traced, w.spans.size());
    for (size_t i = w.traced - count; i < w.traced; ++i) spans.push_back(w.spans[i % kTracedSpans]);
  }
  return spans;
}

// A barrier at which the threads agree whether to go on. Two flags by turns: one is not written again before everybody
// has read it.
bool Executor::Sync(Worker& w) {
  bool& interrupted = interrupted_[++w.barriers & 1];
  if (w.part == 0) interrupted = interrupt_.load(std::memory_order_relaxed);
  pool_.Barrier(w.part, w.parts);
  return !interrupted;
}

void Executor::RunOutputs(Worker& w) {
  const double began = options_.trace ? Now() : 0;
  queue_->Run(w.part, w.parts, w.calls++, chunk_rows_, 1, 1, [&](int first, int) {
    // Jobs that follow others are done by whoever does those.
    if (step_->outputs[chunk_begin_ + first].follows && first > 0) return;
    for (int index = first; index < chunk_rows_ && (index == first || step_->outputs[chunk_begin_ + index].follows);
         ++index) {
      RunOutput(index);
      const OutputJob& job = step_->outputs[chunk_begin_ + index];
      if (job.sampler != nullptr && job.result.token != job.guess) return;
    }
  });
  if (options_.trace) Record(w, -1, began);
}

void Executor::RunOutput(int index) {
  const VectorKernels& vector = *kernels_.vector;
  OutputJob& job = step_->outputs[chunk_begin_ + index];
  if (job.hidden != nullptr) {
    const bool outputs = program_.buffers[program_.hidden].outputs;
    const int width = Width(program_.hidden);
    std::memcpy(job.hidden, RowOf(program_.hidden, outputs ? index : job.row), sizeof(float) * width);
    if (!vector.all_finite(job.hidden, width)) job.result.status = SampleStatus::kNotFinite;
  }
  float* const logits = RowOf(program_.logits, index);
  if (job.logits != nullptr) {
    std::memcpy(job.logits, logits, sizeof(float) * program_.vocabulary);
    if (!vector.all_finite(logits, program_.vocabulary)) job.result.status = SampleStatus::kNotFinite;
  }
  if (job.sampler != nullptr) {
    job.request.logits = logits;
    if (job.constraint != nullptr) job.request.allowed = job.constraint->Allowed().data();
    job.result = job.sampler->Sample(job.request);
  }
}

void Executor::Row(Worker& w, const Instruction& ins, int row) {
  const VectorKernels& vector = *kernels_.vector;
  const int width = Width(ins.out);
  float* const out = RowOf(ins.out, row);
  const float* const in = ins.op == Op::kOutputs || ins.op == Op::kEmbed ? nullptr : RowOf(ins.in, row);
  switch (ins.op) {
    case Op::kEmbed: {
      const int64_t token = step_->tokens[row];
      DequantizeRows(ins.table.weight, token, token + 1, out);
      if (ins.factor != 1) vector.scale(out, ins.factor, width, out);
      return;
    }
    case Op::kPositions: {
      const int64_t position = step_->positions[row] + ins.offset;
      DequantizeRows(ins.table.weight, position, position + 1, w.tile);
      return vector.add(out, w.tile, width, out);
    }
    case Op::kNorm:
      return ApplyNorm(ins.norm, in, width, out);
    case Op::kHeadNorm: {
      const int head_width = static_cast<int>(ins.norm.weight.size());
      for (int head = 0; head < ins.heads; ++head) {
        float* const x = RowOf(ins.slice.buffer, row) + ins.slice.column + head * ins.slice.head_stride;
        ApplyNorm(ins.norm, x, head_width, x);
      }
      return;
    }
    case Op::kAdd:
      return vector.add(in, RowOf(ins.other, row), width, out);
    case Op::kMul:
      return vector.mul(in, RowOf(ins.other, row), width, out);
    case Op::kActivation:
      return Apply(ins.activation, in, width, out);
    case Op::kScale:
      return vector.scale(in, ins.factor, width, out);
    case Op::kSoftcap:
      return vector.softcap(in, ins.factor, width, out);
    case Op::kClamp:
      return vector.clamp(in, ins.low, ins.high, width, out);
    case Op::kTake:
      for (int i = 0; i < width; ++i) out[i] = in[ins.channels[i]];
      return;
    case Op::kOutputs:
      std::memcpy(out, RowOf(ins.in, step_->outputs[chunk_begin_ + row].row), sizeof(float) * width);
      return;
    case Op::kLinear:
    case Op::kAttention:
      return;
  }
}

float* Executor::Base(int index) const {
  const Buffer& buffer = program_.buffers[index];
  // Rows of a small step are close together: a buffer begins after as many rows as this step has.
  if (buffer.outputs) return output_arena_ + (buffer.offset - first_output_float_) * chunk_rows_;
  return token_arena_ + buffer.offset * step_->rows();
}

void Executor::ApplyNorm(const Norm& norm, const float* x, int n, float* out) const {
  const VectorKernels& vector = *kernels_.vector;
  if (norm.kind == NormKind::kRms) return vector.rms_norm(x, norm.weight.data(), norm.epsilon, n, out);
  if (norm.kind == NormKind::kScale) return vector.mul(x, norm.weight.data(), n, out);
  const float* const bias = norm.bias.empty() ? nullptr : norm.bias.data();
  vector.layer_norm(x, norm.weight.data(), bias, norm.epsilon, n, out);
}

void Executor::Apply(Activation activation, const float* x, int n, float* out) const {
  const VectorKernels& vector = *kernels_.vector;
  switch (activation) {
    case Activation::kSilu:
      return vector.silu(x, n, out);
    case Activation::kGelu:
      return vector.gelu(x, n, out);
    case Activation::kGeluTanh:
      return vector.gelu_tanh(x, n, out);
    case Activation::kRelu:
      return vector.relu(x, n, out);
  }
}

void Executor::LookForBad(int instruction) {
  if (first_bad_ >= 0) return;
  const Instruction& ins = program_.instructions[instruction];
  const auto bad = [&](int buffer) {
    const int rows = RowCount(program_.buffers[buffer].outputs);
    for (int row = 0; row < rows; ++row)
      if (!kernels_.vector->all_finite(RowOf(buffer, row), Width(buffer))) return true;
    return false;
  };
  bool found = false;
  if (ins.op == Op::kLinear) {
    const size_t written = ins.epilogue == Epilogue::kGated ? 1 : ins.parts.size();
    found = ins.sum_out >= 0 && bad(ins.sum_out);
    for (size_t part = 0; part < written; ++part) {
      const LinearPart& p = ins.parts[part];
      const int rows = RowCount(program_.buffers[p.out.buffer].outputs);
      for (int row = 0; row < rows && !found; ++row)
        found = !kernels_.vector->all_finite(RowOf(p.out.buffer, row) + p.out.column,
                                             static_cast<int>(p.table.weight.rows));
    }
  } else {
    found = bad(ins.op == Op::kHeadNorm ? ins.slice.buffer : ins.op == Op::kAttention ? ins.o.buffer : ins.out);
  }
  if (found) first_bad_ = instruction;
}

}  // namespace llm
