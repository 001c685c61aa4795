// Runs requests on sequences of one program: the requests that are running share every step, with a token each of those
// that generate and pieces of the prompts of the others. All calls are for any thread and return at once; news come by
// TakeEvents, after `notify` was called.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "program/block_pool.h"
#include "program/drafter.h"
#include "program/engine_thread.h"
#include "program/executor.h"
#include "program/instruction.h"
#include "program/request.h"
#include "program/sequence.h"
#include "program/step.h"
#include "threads/lock.h"

namespace llm {

class Engine {
 public:
  struct Options {
    Executor::Options executor;
    void (*notify)(void*) = nullptr;
    void* context = nullptr;
  };
  struct Statistics {
    int blocks, free_blocks, reusable_blocks;
    size_t cache_bytes, arena_bytes, scratch_bytes;
    int64_t steps, tokens;
    double step_seconds;
    int barriers;  // of the last step
  };

  // The request of the event that says that the engine has stopped.
  static constexpr uint32_t kEngineItself = 0;

  // Null if the system refuses the memory. The program must have passed its check.
  // `draft` may be null.
  static std::unique_ptr<Engine> Create(std::unique_ptr<Program> program, std::unique_ptr<Program> draft,
                                        const Options& options);
  // Waits for the thread. Running requests are interrupted, without news.
  ~Engine();

  const Program& program() const { return *program_; }
  const VectorKernels& vector_kernels() const { return *options_.executor.kernels->vector; }

  // Numbers of sequences; calls with one that does not exist return -1, nothing or false.
  int64_t CreateSequence();
  int64_t Length(int64_t sequence);
  std::vector<int32_t> Tokens(int64_t sequence);
  enum class Change : uint8_t { kDone, kUnknown, kBusy, kTooLong, kNoBlocks, kNoRotation };
  Change Fork(int64_t sequence, int64_t* copy);
  Change Truncate(int64_t sequence, int64_t length);
  // Forgets blocks in the middle, so that the text can go on in a context of limited length.
  Change Shift(int64_t sequence, int64_t keep_blocks, int64_t drop_blocks);
  void ReleaseSequence(int64_t sequence);

  // A saved sequence: its tokens, then its blocks as bytes, then it is ready. -1 if there are too few blocks.
  int64_t BeginRestore(const std::vector<int32_t>& tokens);
  bool EndRestore(int64_t sequence);
  // Calls use(bytes, size) with a block of a sequence that no request has, or that is being restored.
  Change WithBlock(int64_t sequence, int64_t block, bool restoring, const std::function<void(uint8_t*, size_t)>& use);

  // Every request ends with one event that says so.
  void Submit(int64_t sequence, std::unique_ptr<Request> request);
  void Cancel(uint32_t request);
  // Ends all requests, then says so for the engine itself. The thread does nothing afterwards.
  void Stop();

  std::vector<Event> TakeEvents();
  // After the events are dealt with, `any` or none. A request that lacks blocks fails only when everybody has heard of
  // all ends, and had the time to release sequences.
  void Heard(bool any);
  Statistics GetStatistics();
  std::vector<double> InstructionSeconds();
  std::vector<Executor::Span> Trace();

 private:
  Engine(std::unique_ptr<Program> program, const Options& options);

  bool Advance();
  void Guess();
  void EndCancelled();
  void Admit();
  void Plan();
  void PlanDecoding();
  void PlanPrompts();
  void Add(Request& request, int count);
  bool EmitToken(Request& request, const SampleResult& result);
  bool MakeRoom(Request& request);
  bool Hopeless();
  void BlocksReleased();
  void Preempt(Request& request);
  bool ShiftBlocks(Sequence& sequence, int64_t keep_blocks, int64_t drop_blocks);
  bool ShiftFull(Request& request);
  void Commit(double seconds);
  void CommitForward(Request& request);
  void CommitTokens(Request& request, double seconds);

  void EndRequest(Request& request, FinishReason reason);
  void Fail(Request& request, const char* code, double a = 0, double b = 0, std::string text = {});
  void FailOutOfBlocks(Request& request, int needed);
  void FailNotFinite(Request& request);
  Event& News(uint32_t request);
  void Notify();

  const std::unique_ptr<Program> program_;
  const Options options_;
  std::unique_ptr<BlockPool> pool_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<DraftModel> draft_model_;

  // Guards all below but step_, which is the thread's own while a step runs.
  Lock lock_;
  std::unordered_map<int64_t, std::shared_ptr<Sequence>> sequences_;
  int64_t next_sequence_ = 1;
  std::deque<std::unique_ptr<Request>> waiting_;
  std::vector<std::unique_ptr<Request>> running_;  // in the order of their beginning
  std::vector<Request*> in_step_;
  size_t turn_ = 0;  // who is first, if not all fit into a step
  bool stopping_ = false, stopped_ = false;
  std::atomic<bool> asking_{false};
  bool hopeless_ = false;  // whether any block may still be released
  int64_t steps_ = 0, tokens_ = 0;
  double step_seconds_ = 0;
  int barriers_ = 0;

  Lock event_lock_;
  std::vector<Event> events_;
  bool notified_ = false;

  Step step_;
  std::vector<int32_t> text_;             // that guesses are made for
  std::unique_ptr<EngineThread> thread_;  // last: it uses the others
};

}  // namespace llm
