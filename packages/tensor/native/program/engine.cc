#include "program/engine.h"

#include <algorithm>
#include <chrono>

namespace llm {
namespace {

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

std::unique_ptr<Engine> Engine::Create(std::unique_ptr<Program> program, std::unique_ptr<Program> draft,
                                       const Options& options) {
  std::unique_ptr<Engine> engine(new Engine(std::move(program), options));
  const Program& p = *engine->program_;
  engine->pool_ = BlockPool::Create(p.cache, p.layers, p.kv_heads, p.blocks);
  if (engine->pool_ == nullptr) return nullptr;
  engine->executor_ = Executor::Create(p, *engine->pool_, options.executor);
  if (engine->executor_ == nullptr) return nullptr;
  if (draft != nullptr) {
    engine->draft_model_ = DraftModel::Create(std::move(draft), options.executor);
    if (engine->draft_model_ == nullptr) return nullptr;
  }
  engine->thread_ = EngineThread::Start([](void* self) { return static_cast<Engine*>(self)->Advance(); }, engine.get());
  return engine;
}

Engine::Engine(std::unique_ptr<Program> program, const Options& options)
    : program_(std::move(program)), options_(options) {}

Engine::~Engine() {
  if (thread_ != nullptr) Stop();
}

int64_t Engine::CreateSequence() {
  const Locked locked(lock_);
  sequences_.emplace(next_sequence_, std::make_shared<Sequence>(*pool_));
  return next_sequence_++;
}

int64_t Engine::Length(int64_t id) {
  const Locked locked(lock_);
  const auto found = sequences_.find(id);
  return found == sequences_.end() ? -1 : found->second->length();
}

std::vector<int32_t> Engine::Tokens(int64_t id) {
  const Locked locked(lock_);
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return {};
  const std::span<const int32_t> tokens = found->second->tokens();
  return {tokens.begin(), tokens.begin() + found->second->length()};
}

Engine::Change Engine::Fork(int64_t id, int64_t* copy) {
  const Locked locked(lock_);
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return Change::kUnknown;
  if (found->second->busy) return Change::kBusy;
  auto sequence = std::make_shared<Sequence>(*pool_);
  sequence->Share(*found->second);
  *copy = next_sequence_++;
  sequences_.emplace(*copy, std::move(sequence));
  return Change::kDone;
}

Engine::Change Engine::Truncate(int64_t id, int64_t length) {
  const Locked locked(lock_);
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return Change::kUnknown;
  if (found->second->busy) return Change::kBusy;
  if (length < 0 || length > found->second->length()) return Change::kTooLong;
  found->second->Truncate(length);
  BlocksReleased();
  return Change::kDone;
}

Engine::Change Engine::Shift(int64_t id, int64_t keep_blocks, int64_t drop_blocks) {
  const Locked locked(lock_);
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return Change::kUnknown;
  Sequence& sequence = *found->second;
  if (sequence.busy) return Change::kBusy;
  if (keep_blocks < 0 || drop_blocks < 0 ||
      (keep_blocks + drop_blocks) * program_->cache.block_tokens > sequence.length())
    return Change::kTooLong;
  if (!program_->shiftable) return Change::kNoRotation;
  if (!ShiftBlocks(sequence, keep_blocks, drop_blocks)) return Change::kNoBlocks;
  BlocksReleased();
  return Change::kDone;
}

int64_t Engine::BeginRestore(const std::vector<int32_t>& tokens) {
  const Locked locked(lock_);
  auto sequence = std::make_shared<Sequence>(*pool_);
  if (!sequence->Reserve(static_cast<int64_t>(tokens.size()))) return -1;
  sequence->Append(tokens);
  sequence->busy = true;
  sequences_.emplace(next_sequence_, std::move(sequence));
  return next_sequence_++;
}

bool Engine::EndRestore(int64_t id) {
  const Locked locked(lock_);
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return false;
  Sequence& sequence = *found->second;
  sequence.Commit(static_cast<int64_t>(sequence.tokens().size()));
  sequence.busy = false;
  return true;
}

Engine::Change Engine::WithBlock(int64_t id, int64_t block, bool restoring,
                                 const std::function<void(uint8_t*, size_t)>& use) {
  const Locked locked(lock_);
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return Change::kUnknown;
  if (found->second->busy != restoring) return Change::kBusy;
  if (block < 0 || block >= found->second->blocks()) return Change::kTooLong;
  use(found->second->Block(block), pool_->block_bytes());
  return Change::kDone;
}

void Engine::ReleaseSequence(int64_t id) {
  uint32_t request = kEngineItself;
  {
    const Locked locked(lock_);
    const auto found = sequences_.find(id);
    if (found == sequences_.end()) return;
    const auto has = [&](const std::unique_ptr<Request>& r) { return r->sequence == found->second; };
    if (const auto r = std::find_if(running_.begin(), running_.end(), has); r != running_.end()) request = (*r)->id;
    if (const auto r = std::find_if(waiting_.begin(), waiting_.end(), has); r != waiting_.end()) request = (*r)->id;
    sequences_.erase(found);
    BlocksReleased();
  }
  if (request != kEngineItself) Cancel(request);
}

// Somebody may have been waiting for them.
void Engine::BlocksReleased() {
  asking_ = hopeless_ = false;
  if (!waiting_.empty() || !running_.empty()) thread_->Wake();
}

void Engine::Submit(int64_t id, std::unique_ptr<Request> request) {
  {
    const Locked locked(lock_);
    const auto found = sequences_.find(id);
    request->submitted = Now();
    request->finish.prompt_tokens = static_cast<int64_t>(request->feed.size());
    if (stopping_) {
      Fail(*request, "PROGRAM_DISPOSED");
    } else if (found == sequences_.end()) {
      Fail(*request, "PROGRAM_FAILED", 0, 0, "The sequence does not exist.");
    } else if (found->second->busy) {
      Fail(*request, "SEQUENCE_BUSY");
    } else if (const int64_t length = found->second->length() + request->finish.prompt_tokens;
               length > program_->context) {
      Fail(*request, "CONTEXT_OVERFLOW", static_cast<double>(length), static_cast<double>(program_->context));
    } else {
      request->sequence = found->second;
      request->sequence->busy = true;
      request->prompt_end = static_cast<size_t>(length);
      waiting_.push_back(std::move(request));
    }
  }
  Notify();
  thread_->Wake();
}

void Engine::Cancel(uint32_t id) {
  {
    const Locked locked(lock_);
    const auto is = [id](const std::unique_ptr<Request>& r) { return r->id == id; };
    if (const auto r = std::find_if(waiting_.begin(), waiting_.end(), is); r != waiting_.end()) (*r)->cancelled = true;
    if (const auto r = std::find_if(running_.begin(), running_.end(), is); r != running_.end()) (*r)->cancelled = true;
    const auto cancelled = [](const Request* r) { return r->cancelled; };
    if (!in_step_.empty() && std::all_of(in_step_.begin(), in_step_.end(), cancelled)) executor_->Interrupt();
  }
  thread_->Wake();
}

void Engine::Stop() {
  {
    const Locked locked(lock_);
    stopping_ = true;
    executor_->Interrupt();
    if (draft_model_ != nullptr) draft_model_->Interrupt();
  }
  thread_->Wake();
}

std::vector<Event> Engine::TakeEvents() {
  const Locked locked(event_lock_);
  notified_ = false;
  return std::move(events_);
}

void Engine::Heard(bool any) {
  {
    const Locked locked(lock_);
    if (!asking_) return;
    if (!any) {
      asking_ = false;
      hopeless_ = true;
    }
  }
  if (any)
    Notify();
  else
    thread_->Wake();
}

Engine::Statistics Engine::GetStatistics() {
  const Locked locked(lock_);
  return {pool_->total(),
          pool_->free(),
          pool_->reusable(),
          pool_->bytes(),
          executor_->arena_bytes(),
          executor_->scratch_bytes(),
          steps_,
          tokens_,
          step_seconds_,
          barriers_};
}

std::vector<Executor::Span> Engine::Trace() {
  const Locked locked(lock_);
  return in_step_.empty() ? executor_->Trace() : std::vector<Executor::Span>();
}

std::vector<double> Engine::InstructionSeconds() {
  const Locked locked(lock_);
  return executor_->seconds();
}

}  // namespace llm
