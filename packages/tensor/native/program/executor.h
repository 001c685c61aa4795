// Runs steps of a program on the pool. One call is one job of the pool, with barriers between the stages; nothing is
// allocated while it runs.
//
// Results do not depend on the number of threads or on what else is in the step: kernels compute each row in one order
// of operations, and work is split at borders that do not change it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "program/block_pool.h"
#include "program/instruction.h"
#include "program/step.h"
#include "program/work_queue.h"
#include "threads/pool.h"

namespace llm {

class Executor {
 public:
  struct Options {
    const KernelTable* kernels = nullptr;
    int threads = 1;
    int decode_threads = 1;  // of steps with few tokens
    bool debug = false;      // look for values that are not finite after every instruction
    bool profile = false;
    bool trace = false;
  };

  // When a thread worked on an instruction; -1 is what follows the logits.
  struct Span {
    int part, instruction;
    double begin, end;  // seconds of the steady clock
  };

  // Null if the system refuses the memory.
  static std::unique_ptr<Executor> Create(const Program& program, const BlockPool& cache, const Options& options);

  // False if it was interrupted: then nothing it wrote counts.
  bool Run(Step& step);

  // From any thread: a running or future step ends early, until Resume.
  void Interrupt() { interrupt_.store(true, std::memory_order_relaxed); }
  void Resume() { interrupt_.store(false, std::memory_order_relaxed); }

  // The first instruction of the last step whose result was not finite: debug only, else -1.
  int first_bad() const { return first_bad_; }
  // What was traced last. Not while a step runs.
  std::vector<Span> Trace() const;
  // Wall time of each instruction, if profiled.
  const std::vector<double>& seconds() const { return seconds_; }

  size_t arena_bytes() const { return arena_bytes_; }
  size_t scratch_bytes() const { return memory_->size() - arena_bytes_; }
  // At which the threads of the last step met.
  uint32_t barriers() const { return workers_[0].barriers; }
  int output_rows() const { return output_rows_; }

  static constexpr int kQueryBlock = 32;  // queries in one task of attention

 private:
  static constexpr int kDecodeRows = 8;                    // steps of up to so many tokens run on decode_threads
  static constexpr int kSplitRows = 8;                     // and may split the keys of one head over threads
  static constexpr size_t kTracedSpans = size_t{1} << 16;  // of each thread

  // A linear's activations, prepared once for several of its parts.
  struct Preparation {
    const Weight* weight;
    size_t offset, few_offset;  // into the prepared bytes of many rows, of few
  };
  struct LinearPlan {
    std::vector<Preparation> preparations;
    std::vector<int> of_part;      // index into preparations
    std::vector<int> first_block;  // of each part in the linear's row of blocks, and their number
    std::vector<int64_t> bytes;    // of each part's weight
    int few_rows = 1;              // up to so many, every thread prepares all for itself
    bool joins = false;            // then it need not wait for the instruction before it
    int smallest_chunk = 1;        // blocks worth a call
    bool prepares = false;         // anything to prepare at all
    int next = -1;                 // the linear after this one
  };

  // One thread's view of a step.
  struct Worker {
    int part = 0, parts = 1;
    uint32_t barriers = 0, calls = 0;
    uint8_t *prepared = nullptr, *scratch = nullptr;
    float *summed = nullptr, *normed = nullptr, *tile = nullptr;
    int instruction = -1;  // being measured
    double since = 0;
    std::vector<Span> spans;  // a ring, if traced
    size_t traced = 0;
  };

  Executor(const Program& program, const BlockPool& cache, const Options& options);
  bool Plan();

  // What a linear multiplies with: activations, as they are or prepared.
  struct LinearInput {
    const float* x;
    const uint8_t* prepared;  // null if there is nothing to prepare
    int rows;
    bool few;
  };

  void RunPart(int part, int parts);
  bool RunInstructions(Worker& w, int begin, int end);
  void RunOutputs(Worker& w);
  void RunOutput(int index);
  bool Sync(Worker& w);

  void Row(Worker& w, const Instruction& ins, int row);
  bool Linear(Worker& w, const Instruction& ins, const LinearPlan& plan);
  bool PrepareLinear(Worker& w, const Instruction& ins, const LinearPlan& plan, LinearInput* input);
  void PrefetchLinear(const Worker& w, const Instruction& ins, const LinearPlan& plan) const;
  void Multiply(Worker& w, const Instruction& ins, const LinearPlan& plan, const LinearInput& input, int part,
                int begin, int end, float* out, int64_t ldo);
  void LinearBlocks(Worker& w, const Instruction& ins, const LinearPlan& plan, const LinearInput& input, int part,
                    int begin, int end);
  void GatedBlocks(Worker& w, const Instruction& ins, const LinearPlan& plan, const LinearInput& input, int begin,
                   int end);
  void PlanAttention(int parts);
  bool Attention(Worker& w, const Instruction& ins);
  bool AttentionInParts(Worker& w, const Instruction& ins);
  AttentionTask TaskOf(Worker& w, const Instruction& ins, int task) const;
  void Record(Worker& w, int instruction, double begin);
  void StoreRow(const Instruction& ins, int row, int kv_head);
  void Attend(Worker& w, const Instruction& ins, int task);

  void PrepareRow(const Instruction& ins, int row, const float* x, float* sum, float* normed) const;
  bool RowWise(int instruction) const;
  bool Joins(int instruction) const;
  bool InOutputs(const Instruction& ins) const;
  // Whether every thread prepares the rows of a linear for itself.
  bool Few(const Worker& w, const Instruction& ins, const LinearPlan& plan) const {
    return w.parts > 1 && RowCount(InOutputs(ins)) <= plan.few_rows;
  }
  int RowCount(bool outputs) const { return outputs ? chunk_rows_ : step_->rows(); }
  float* Base(int buffer) const;
  float* RowOf(int buffer, int row) const { return Base(buffer) + static_cast<int64_t>(row) * Width(buffer); }
  int Width(int buffer) const { return program_.buffers[buffer].width; }
  void ApplyNorm(const Norm& norm, const float* x, int n, float* out) const;
  void Apply(Activation activation, const float* x, int n, float* out) const;
  void LookForBad(int instruction);

  const Program& program_;
  const BlockPool& cache_;
  const Options options_;
  const KernelTable& kernels_;
  Pool& pool_;

  // Planned once.
  std::shared_ptr<Memory> memory_;
  std::vector<LinearPlan> plans_;  // one per instruction
  std::vector<bool> barrier_before_;
  int hidden_end_ = 0;   // the instruction after the last that writes the hidden states
  int output_rows_ = 1;  // outputs that the tail computes at once
  int64_t output_floats_ = 0, first_output_float_ = 0;
  size_t arena_bytes_ = 0;
  float *token_arena_ = nullptr, *output_arena_ = nullptr;
  float* normed_ = nullptr;
  uint8_t* prepared_ = nullptr;
  float* states_ = nullptr;  // of attention in parts
  std::vector<Worker> workers_;
  int tile_floats_ = 0;
  std::unique_ptr<WorkQueue> queue_;

  // Of the running step.
  struct QueryBlock {
    int segment, first, count;
  };
  Step* step_ = nullptr;
  int chunk_begin_ = 0, chunk_rows_ = 0;  // outputs in the tail's current round
  std::vector<QueryBlock> query_blocks_;
  std::vector<int> segment_of_row_;
  bool store_first_ = false;
  int64_t split_segments_ = 0;  // of the longest context, if its keys are shared out over the threads
  bool hidden_only_ = false;
  std::atomic<bool> interrupt_{false};
  bool interrupted_[2] = {false, false};
  bool ok_ = true;
  int first_bad_ = -1;
  std::vector<double> seconds_;
};

}  // namespace llm
