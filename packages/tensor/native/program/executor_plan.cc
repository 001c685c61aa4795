// What an executor decides and allocates before the first step.
#include <algorithm>

#include "program/executor.h"

namespace llm {
namespace {

// Work that every thread repeats for itself rather than wait for a barrier, in values to normalise and quantize.
constexpr int kRedundantValues = 16384;
constexpr int kRedundantRows = 8;
// A call into a kernel should stream at least this much of a weight.
constexpr size_t kChunkBytes = size_t{48} << 10;
// Results of a linear that wait for its epilogue: blocks of 32 columns for a step with the most rows.
constexpr int kTileBlocks = 2;
constexpr int kSmallTileFloats = 8192;
// Logits that are in memory at once.
constexpr int64_t kLogitsFloats = int64_t{16} << 20;

// Hands out pieces of one allocation.
class Layout {
 public:
  size_t Take(size_t bytes) {
    const size_t at = size_;
    size_ += (bytes + kMemoryAlignment - 1) / kMemoryAlignment * kMemoryAlignment;
    return at;
  }
  void SkipLine() { size_ += 2 * kMemoryAlignment; }
  size_t size() const { return size_; }

 private:
  size_t size_ = 0;
};

}  // namespace

std::unique_ptr<Executor> Executor::Create(const Program& program, const BlockPool& cache, const Options& options) {
  std::unique_ptr<Executor> executor(new Executor(program, cache, options));
  return executor->Plan() ? std::move(executor) : nullptr;
}

Executor::Executor(const Program& program, const BlockPool& cache, const Options& options)
    : program_(program), cache_(cache), options_(options), kernels_(*options.kernels), pool_(SharedPool()) {}

bool Executor::Plan() {
  const int instructions = static_cast<int>(program_.instructions.size());
  const int rows = program_.max_tokens;
  plans_.resize(instructions);
  barrier_before_.resize(instructions);
  seconds_.assign(instructions, 0);
  hidden_end_ = instructions;

  const int threads = std::max(options_.threads, options_.decode_threads);
  size_t states = 0, normed = 0, prepared = 0, few_normed = 0, few_summed = 0, few_prepared = 0, scratch = 0;
  for (int i = 0; i < instructions; ++i) {
    const Instruction& ins = program_.instructions[i];
    barrier_before_[i] =
        i > 0 && !(RowWise(i) && RowWise(i - 1) && InOutputs(ins) == InOutputs(program_.instructions[i - 1]));
    if (ins.op == Op::kAttention) {
      const int heads = ins.heads / ins.kv_heads;
      scratch = std::max(scratch, AttentionScratchBytes(program_.cache, heads, kQueryBlock));
      AttentionTask all = {};
      all.layout = &program_.cache;
      all.heads = ins.heads;
      all.queries = kSplitRows;
      const int64_t segments = (program_.context + kAttentionSegment - 1) / kAttentionSegment;
      if (threads > 1) states = std::max(states, AttentionStateFloats(all) * static_cast<size_t>(segments));
    }
    if (ins.op == Op::kPositions) tile_floats_ = std::max(tile_floats_, Width(ins.out));
    if (ins.op != Op::kLinear) continue;

    LinearPlan& plan = plans_[i];
    const int width = Width(ins.in);
    plan.few_rows = std::min(rows, std::clamp(kRedundantValues / width, 1, kRedundantRows));
    size_t many = 0, few = 0, bytes = 0;
    int blocks = 0;
    for (const LinearPart& part : ins.parts) {
      const Weight& weight = part.table.weight;
      plan.first_block.push_back(blocks);
      blocks += Blocks(weight);
      plan.bytes.push_back(WeightBytes(weight));
      bytes += static_cast<size_t>(plan.bytes.back());
      scratch = std::max(scratch, MatmulScratchBytes(ins.compute, weight, rows));
      const auto same = std::find_if(plan.preparations.begin(), plan.preparations.end(), [&](const Preparation& p) {
        return SharePreparation(ins.compute, *p.weight, weight);
      });
      plan.of_part.push_back(static_cast<int>(same - plan.preparations.begin()));
      if (same != plan.preparations.end()) continue;
      plan.preparations.push_back({&weight, many, few});
      many += PreparedBytes(ins.compute, weight, rows, ins.span);
      few += PreparedBytes(ins.compute, weight, plan.few_rows, ins.span);
    }
    plan.first_block.push_back(blocks);
    plan.smallest_chunk = static_cast<int>(std::max<size_t>(1, kChunkBytes * blocks / bytes));
    plan.prepares = many > 0 || ins.norm.kind != NormKind::kNone || ins.sum_out >= 0;
    plan.joins = Joins(i) && !plans_[i - 1].joins;
    prepared = std::max(prepared, many);
    few_prepared = std::max(few_prepared, few);
    if (ins.sum_out >= 0) few_summed = std::max(few_summed, static_cast<size_t>(plan.few_rows) * width);
    if (ins.norm.kind != NormKind::kNone) {
      normed = std::max(normed, static_cast<size_t>(rows) * width);
      few_normed = std::max(few_normed, static_cast<size_t>(plan.few_rows) * width);
    }
  }

  for (int i = 0, last = -1; i < instructions; ++i) {
    if (program_.instructions[i].op != Op::kLinear) continue;
    if (last >= 0) plans_[last].next = i;
    last = i;
  }

  // Buffers of outputs live apart from those of tokens: the tail runs in rounds, while the tokens' rows stay.
  int64_t token_floats = 0, output_end = 0;
  first_output_float_ = program_.row_floats;
  for (const Buffer& buffer : program_.buffers) {
    if (buffer.outputs) {
      first_output_float_ = std::min(first_output_float_, buffer.offset);
      output_end = std::max(output_end, buffer.offset + buffer.width);
    } else {
      token_floats = std::max(token_floats, buffer.offset + buffer.width);
    }
  }
  output_floats_ = output_end - first_output_float_;
  output_rows_ = static_cast<int>(std::clamp<int64_t>(kLogitsFloats / program_.vocabulary, 1, rows));
  if (!program_.buffers[program_.hidden].outputs) hidden_end_ = program_.tail;
  for (int i = program_.tail; i < instructions && program_.buffers[program_.hidden].outputs; ++i) {
    const Instruction& ins = program_.instructions[i];
    const bool writes = ins.op == Op::kLinear     ? ins.parts.front().out.buffer == program_.hidden
                        : ins.op == Op::kHeadNorm ? ins.slice.buffer == program_.hidden
                                                  : ins.out == program_.hidden;
    if (writes) hidden_end_ = i + 1;
  }

  tile_floats_ = std::max({rows * kTileBlocks * kBlockRows, kSmallTileFloats, tile_floats_ / 16 * 16 + 16});
  Layout layout;
  const size_t tokens_at = layout.Take(sizeof(float) * static_cast<size_t>(token_floats) * rows);
  const size_t outputs_at = layout.Take(sizeof(float) * static_cast<size_t>(output_floats_) * output_rows_);
  arena_bytes_ = layout.size();
  const size_t normed_at = layout.Take(sizeof(float) * normed);
  const size_t prepared_at = layout.Take(prepared);
  const size_t states_at = layout.Take(sizeof(float) * states);
  std::vector<size_t> worker_at;
  constexpr int kPieces = 5;  // of each thread
  for (int part = 0; part < threads; ++part) {
    layout.SkipLine();
    worker_at.push_back(layout.Take(few_prepared));
    worker_at.push_back(layout.Take(scratch));
    worker_at.push_back(layout.Take(sizeof(float) * few_normed));
    worker_at.push_back(layout.Take(sizeof(float) * few_summed));
    worker_at.push_back(layout.Take(sizeof(float) * 2 * tile_floats_));
  }
  memory_ = AllocateMemory(layout.size() + kMemoryAlignment);
  if (memory_ == nullptr) return false;

  uint8_t* const base = memory_->data();
  const auto floats = [base](size_t at) { return reinterpret_cast<float*>(base + at); };
  token_arena_ = floats(tokens_at);
  output_arena_ = floats(outputs_at);
  normed_ = floats(normed_at);
  prepared_ = base + prepared_at;
  states_ = floats(states_at);
  for (int part = 0; part < threads; ++part) {
    const size_t* at = &worker_at[kPieces * part];
    Worker worker;
    worker.part = part;
    worker.prepared = base + at[0];
    worker.scratch = base + at[1];
    worker.normed = floats(at[2]);
    worker.summed = floats(at[3]);
    worker.tile = floats(at[4]);
    if (options_.trace) worker.spans.resize(kTracedSpans);
    workers_.push_back(std::move(worker));
  }
  queue_ = std::make_unique<WorkQueue>(threads);
  query_blocks_.reserve(rows);
  segment_of_row_.reserve(rows);
  return true;
}

// Instructions that treat each row on its own: a thread that has a row in one of them has the same row in the next, so
// that nobody waits in between.
bool Executor::RowWise(int instruction) const {
  const Op op = program_.instructions[instruction].op;
  return op != Op::kLinear && op != Op::kAttention && op != Op::kOutputs;
}

// Of two linears that need nothing of each other, the second may begin before everybody is done with the first: threads
// work on copies of their own, if the rows are few. One such linear in a row: the queue tells two calls apart.
bool Executor::Joins(int instruction) const {
  const Instruction& ins = program_.instructions[instruction];
  if (!ins.joins || instruction == 0 || ins.op != Op::kLinear) return false;
  const Instruction& before = program_.instructions[instruction - 1];
  return before.op == Op::kLinear && InOutputs(before) == InOutputs(ins);
}

bool Executor::InOutputs(const Instruction& ins) const {
  if (ins.op == Op::kLinear) return program_.buffers[ins.in].outputs;
  if (ins.op == Op::kHeadNorm) return program_.buffers[ins.slice.buffer].outputs;
  if (ins.op == Op::kAttention) return false;
  return program_.buffers[ins.out].outputs;
}

}  // namespace llm
