// The engine's thread: which tokens make the next step, and what follows from its outputs.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "program/engine.h"
#include "sampling/masks_ahead.h"

namespace llm {
namespace {

// Tokens of prompts in a step that also generates: running answers should not stop for long.
constexpr int kPromptTokensBesideOthers = 128;
// A prompt's share of a step is not smaller, while there is room.
constexpr int kSmallestShare = 16;
// Requests that generate in one step, beyond which nothing is guessed.
constexpr size_t kDecodingWithGuesses = 2;

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

bool Engine::Advance() {
  bool worked = false, stop = false;
  Guess();
  {
    const Locked locked(lock_);
    if (stopped_) return false;
    EndCancelled();
    Admit();
    Plan();
    worked = !in_step_.empty();
    stop = stopping_;
    if (!stop) executor_->Resume();
  }
  if (worked) {
    const double began = Now();
    const bool done = executor_->Run(step_);
    const Locked locked(lock_);
    step_seconds_ += Now() - began;
    barriers_ = static_cast<int>(executor_->barriers());
    if (done) {
      ++steps_;
      tokens_ += step_.rows();
      Commit(Now() - began);
    } else {
      for (Request* request : in_step_) request->sequence->Rollback();
    }
    in_step_.clear();
  } else if (stop) {
    const Locked locked(lock_);
    stopped_ = true;
    const Locked events_locked(event_lock_);
    News(kEngineItself).finished = true;
  }
  Notify();
  return worked;
}

void Engine::EndCancelled() {
  const auto ends = [this](std::unique_ptr<Request>& request) {
    if (stopping_)
      Fail(*request, "PROGRAM_DISPOSED");
    else if (request->cancelled)
      EndRequest(*request, FinishReason::kCancelled);
    else
      return false;
    return true;
  };
  std::erase_if(waiting_, ends);
  std::erase_if(running_, ends);
}

// First come, first served: a request begins when there are blocks for its whole prompt.
void Engine::Admit() {
  while (!waiting_.empty()) {
    Request& request = *waiting_.front();
    Sequence& sequence = *request.sequence;
    const size_t needed = request.generates ? request.feed.size() : static_cast<size_t>(request.outputs.front()) + 1;
    const int64_t reused =
        sequence.Reuse(std::span<const int32_t>(request.feed).subspan(request.fed, needed - request.fed));
    request.fed += static_cast<size_t>(reused);
    if (request.began == 0) request.finish.reused_tokens = reused;
    const int64_t left = static_cast<int64_t>(request.feed.size() - request.fed);
    if (!sequence.Reserve(left)) {
      if (!running_.empty() || !Hopeless()) return;
      FailOutOfBlocks(request, sequence.BlocksFor(left));
      waiting_.pop_front();
      continue;
    }
    if (request.began == 0) request.began = Now();
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

void Engine::Plan() {
  step_.Clear();
  in_step_.clear();
  PlanDecoding();
  PlanPrompts();
}

void Engine::PlanDecoding() {
  // Those that began first go first, except that nobody is left out twice in a row.
  std::vector<Request*> decoding;
  for (const std::unique_ptr<Request>& request : running_)
    if (request->decoding()) decoding.push_back(request.get());
  if (decoding.empty()) return;
  const size_t first = turn_ < decoding.size() ? turn_ : 0;
  std::rotate(decoding.begin(), decoding.begin() + static_cast<std::ptrdiff_t>(first), decoding.end());
  turn_ = static_cast<int>(decoding.size()) > program_->max_tokens ? first + program_->max_tokens : 0;

  for (Request* request : decoding) {
    if (step_.rows() == program_->max_tokens) return;
    if (std::none_of(running_.begin(), running_.end(), [&](const auto& r) { return r.get() == request; })) continue;
    if (!MakeRoom(*request)) continue;
    const size_t room = static_cast<size_t>(program_->max_tokens - step_.rows() - 1);
    if (request->draft.size() > room) request->draft.resize(room);
    if (!request->sequence->Reserve(1 + static_cast<int64_t>(request->draft.size()))) request->draft.clear();
    Add(*request, 1);
  }
}

// Without the lock: a draft model takes its time. Nobody else changes what is running.
void Engine::Guess() {
  size_t decoding = 0;
  for (const std::unique_ptr<Request>& request : running_) decoding += request->decoding() ? 1 : 0;
  for (const std::unique_ptr<Request>& request : running_) {
    request->draft.clear();
    // A grammar says what may come next only once it has seen what came before.
    if (!request->decoding() || request->guesses == Request::Guesses::kNone || request->constraint.has_value() ||
        decoding > kDecodingWithGuesses)
      continue;
    const int64_t room = std::min(program_->context - request->sequence->length() - 1,
                                  request->max_tokens - request->finish.generated_tokens - 1);
    const int wanted = static_cast<int>(std::clamp<int64_t>(room, 0, request->speculation.Wanted()));
    if (wanted == 0) continue;
    const double began = Now();
    const std::span<const int32_t> before = request->sequence->tokens();
    text_.assign(before.begin(), before.end());
    text_.push_back(request->feed[request->fed]);
    if (request->guesses == Request::Guesses::kLookUp) {
      LookUp(text_, wanted, &request->draft);
    } else {
      if (request->draft_sequence == nullptr) request->draft_sequence = draft_model_->NewSequence();
      draft_model_->Guess(*request->draft_sequence, text_, wanted, &request->draft);
    }
    request->draft_seconds = Now() - began;
  }
}

void Engine::PlanPrompts() {
  int budget = program_->max_tokens - step_.rows();
  if (step_.rows() > 0) budget = std::min(budget, kPromptTokensBesideOthers);
  int prompts = 0;
  for (const std::unique_ptr<Request>& request : running_) prompts += request->decoding() ? 0 : 1;
  for (const std::unique_ptr<Request>& request : running_) {
    if (request->decoding() || budget == 0) continue;
    const int left = static_cast<int>(std::min<size_t>(request->feed.size() - request->fed, budget));
    const int count = std::min({left, budget, std::max(budget / prompts, kSmallestShare)});
    --prompts;
    Add(*request, count);
    budget -= count;
  }
}

// The next `count` tokens of a request's feed into the step.
void Engine::Add(Request& request, int count) {
  Sequence& sequence = *request.sequence;
  const int first_row = step_.rows();
  const std::span<const int32_t> tokens = std::span<const int32_t>(request.feed).subspan(request.fed, count);
  sequence.Append(tokens);
  const std::span<const int32_t> draft = request.draft;
  sequence.Append(draft);
  const int rows = count + static_cast<int>(draft.size());
  step_.segments.push_back({sequence.table(), sequence.length(), first_row, rows});
  step_.tokens.insert(step_.tokens.end(), tokens.begin(), tokens.end());
  step_.tokens.insert(step_.tokens.end(), draft.begin(), draft.end());
  for (int i = 0; i < rows; ++i) step_.positions.push_back(sequence.length() + i);

  request.planned = count;
  request.first_job = static_cast<int>(step_.outputs.size());
  const size_t end = request.fed + count;
  if (request.generates) {
    if (end == request.feed.size()) {
      for (size_t i = 0; i <= draft.size(); ++i) {
        OutputJob job;
        job.row = first_row + count - 1 + static_cast<int>(i);
        job.sampler = request.sampler.get();
        job.request.history = sequence.tokens().first(sequence.tokens().size() - (draft.size() - i));
        job.request.prompt_tokens = request.prompt_end;
        job.request.draw = static_cast<uint64_t>(request.finish.generated_tokens) + i;
        job.request.log_probability = request.log_probabilities;
        if (request.constraint) {
          MakeMaskAhead(*request.constraint);
          job.constraint = &*request.constraint;
        }
        job.guess = i < draft.size() ? draft[i] : -1;
        job.follows = i > 0;
        step_.outputs.push_back(job);
      }
    }
  } else {
    const size_t width = request.hidden ? program_->buffers[program_->hidden].width : program_->vocabulary;
    for (size_t i = request.next_output; i < request.outputs.size() && static_cast<size_t>(request.outputs[i]) < end;
         ++i) {
      OutputJob job;
      job.row = first_row + request.outputs[i] - static_cast<int>(request.fed);
      (request.hidden ? job.hidden : job.logits) = request.out + i * width;
      step_.outputs.push_back(job);
    }
  }
  request.jobs = static_cast<int>(step_.outputs.size()) - request.first_job;
  in_step_.push_back(&request);
}

// A block for one more token. If there is none, the youngest of the others gives its blocks back and starts over later.
// False if the request had to end.
bool Engine::MakeRoom(Request& request) {
  while (!request.sequence->Reserve(1)) {
    const auto gives = std::find_if(running_.rbegin(), running_.rend(), [&](const std::unique_ptr<Request>& other) {
      const bool planned = std::find(in_step_.begin(), in_step_.end(), other.get()) != in_step_.end();
      return other.get() != &request && other->generates && !planned;
    });
    if (gives == running_.rend()) {
      // All others are in this step already: the request waits for a block that one of them gives back.
      if (!in_step_.empty() || !Hopeless()) return false;
      FailOutOfBlocks(request, request.sequence->BlocksFor(1));
      std::erase_if(running_, [&](const std::unique_ptr<Request>& r) { return r.get() == &request; });
      return false;
    }
    Preempt(**gives);
    waiting_.push_front(std::move(*gives));
    running_.erase(std::next(gives).base());
  }
  return true;
}

// Nothing runs that could give blocks back. Idle sequences hold them, and their owners may not know yet that their
// requests are done.
bool Engine::Hopeless() {
  asking_ = !hopeless_;
  return std::exchange(hopeless_, false);
}

// The same tokens give the same keys and values again, bit for bit.
void Engine::Preempt(Request& request) {
  const std::span<const int32_t> tokens = request.sequence->tokens();
  std::vector<int32_t> feed(tokens.begin(), tokens.end());
  feed.insert(feed.end(), request.feed.begin() + static_cast<std::ptrdiff_t>(request.fed), request.feed.end());
  request.feed = std::move(feed);
  request.fed = 0;
  request.draft.clear();
  request.sequence->Truncate(0);
}

void Engine::Commit(double seconds) {
  for (Request* request : in_step_) {
    request->fed += static_cast<size_t>(request->planned);
    if (request->generates) {
      CommitTokens(*request, seconds);
    } else {
      request->sequence->Commit(request->planned);
      CommitForward(*request);
    }
  }
  std::erase_if(running_, [](const std::unique_ptr<Request>& request) { return request->sequence == nullptr; });
}

void Engine::CommitForward(Request& request) {
  for (int job = 0; job < request.jobs; ++job) {
    if (step_.outputs[request.first_job + job].result.status == SampleStatus::kOk) continue;
    return FailNotFinite(request);
  }
  request.next_output += static_cast<size_t>(request.jobs);
  if (request.fed == request.feed.size()) EndRequest(request, FinishReason::kLength);
}

// The token that follows the step's, and, as long as guesses were right, those that follow them.
void Engine::CommitTokens(Request& request, double seconds) {
  Sequence& sequence = *request.sequence;
  sequence.Commit(request.planned);
  if (request.jobs == 0) return;
  const auto guesses = static_cast<int>(request.draft.size());
  int right = 0;
  for (;; ++right) {
    const SampleResult& result = step_.outputs[request.first_job + right].result;
    if (!EmitToken(request, result)) return;
    if (right == guesses || result.token != request.draft[right]) break;
    sequence.Commit(1);
  }
  sequence.Rollback();
  request.feed.assign(1, step_.outputs[request.first_job + right].result.token);
  request.fed = 0;
  if (guesses > 0) {
    request.finish.drafted_tokens += guesses;
    request.finish.accepted_tokens += right;
    request.speculation.GuessedStep(seconds + request.draft_seconds, guesses, right);
  } else if (request.finish.generated_tokens > 1) {
    request.speculation.PlainStep(seconds);
  }
  request.draft.clear();
  if (sequence.length() == program_->context && !ShiftFull(request)) EndRequest(request, FinishReason::kContext);
}

// False if that is the request's end.
bool Engine::EmitToken(Request& request, const SampleResult& result) {
  const auto ends = [&](FinishReason reason) {
    request.sequence->Rollback();
    EndRequest(request, reason);
    return false;
  };
  if (result.status != SampleStatus::kOk) {
    request.sequence->Rollback();
    if (result.status == SampleStatus::kNotFinite)
      FailNotFinite(request);
    else
      Fail(request, "NO_TOKEN_ALLOWED");
    return false;
  }
  const double now = Now();
  if (request.finish.generated_tokens == 0) request.finish.prompt_seconds = now - request.submitted;
  request.finish.generate_seconds = now - request.submitted - request.finish.prompt_seconds;
  if (std::find(request.stop_tokens.begin(), request.stop_tokens.end(), result.token) != request.stop_tokens.end()) {
    request.finish.stop_token = result.token;
    return ends(FinishReason::kStop);
  }
  ++request.finish.generated_tokens;
  {
    const Locked locked(event_lock_);
    Event& news = News(request.id);
    news.tokens.push_back(result.token);
    if (request.log_probabilities) news.log_probabilities.push_back(result.log_probability);
  }
  if (request.constraint) {
    request.constraint->Accept(result.token);
    if (request.constraint->Complete()) return ends(FinishReason::kStop);
  }
  return request.finish.generated_tokens < request.max_tokens || ends(FinishReason::kLength);
}

// Half of what need not stay makes room. False if that is not wanted, or nothing.
bool Engine::ShiftFull(Request& request) {
  if (request.shift_keep < 0 || !program_->shiftable) return false;
  const int64_t block_tokens = program_->cache.block_tokens;
  const int64_t keep = (request.shift_keep + block_tokens - 1) / block_tokens;
  const int64_t drop = (request.sequence->length() / block_tokens - keep + 1) / 2;
  if (drop < 1 || !ShiftBlocks(*request.sequence, keep, drop)) return false;
  const auto kept = static_cast<size_t>(keep * block_tokens), dropped = static_cast<size_t>(drop * block_tokens);
  if (request.prompt_end > kept)
    request.prompt_end = std::max(kept, request.prompt_end - std::min(dropped, request.prompt_end));
  return true;
}

bool Engine::ShiftBlocks(Sequence& sequence, int64_t keep_blocks, int64_t drop_blocks) {
  const int block_tokens = program_->cache.block_tokens;
  const int64_t distance = drop_blocks * block_tokens;
  if (distance == 0) return true;
  // Per table, the rotation by so many positions backwards. Some tables carry a factor as well, which stays as it is.
  std::vector<std::vector<float>> back;
  for (const RopeTable& table : program_->rope_tables) {
    std::vector<float> angles(table.values.begin() + distance * table.rotary_dim,
                              table.values.begin() + (distance + 1) * table.rotary_dim);
    for (size_t i = 0; i < angles.size(); i += 2) {
      const float length = std::sqrt(angles[i] * angles[i] + angles[i + 1] * angles[i + 1]);
      angles[i] /= length;
      angles[i + 1] /= -length;
    }
    back.push_back(std::move(angles));
  }
  return sequence.Shift(keep_blocks, drop_blocks, [&](uint8_t* block) {
    for (const Instruction& ins : program_->instructions) {
      if (ins.op != Op::kAttention || ins.rope_table < 0) continue;
      for (int head = 0; head < ins.kv_heads; ++head)
        options_.executor.kernels->attention->rotate_keys(
            program_->cache, block, pool_->HeadOffset(ins.layer, head), block_tokens, back[ins.rope_table].data(),
            program_->rope_tables[ins.rope_table].rotary_dim, ins.rope_interleaved);
    }
  });
}

// Afterwards the request is without its sequence, and can be erased.
void Engine::EndRequest(Request& request, FinishReason reason) {
  request.finish.reason = reason;
  if (request.sequence != nullptr) request.sequence->busy = false;
  request.sequence = nullptr;
  const Locked locked(event_lock_);
  Event& news = News(request.id);
  news.finished = true;
  news.finish = request.finish;
}

void Engine::Fail(Request& request, const char* code, double a, double b, std::string text) {
  request.finish.failure = {code, a, b, std::move(text)};
  EndRequest(request, FinishReason::kCancelled);
}

void Engine::FailOutOfBlocks(Request& request, int needed) {
  Fail(request, "OUT_OF_BLOCKS", needed, pool_->free(), std::to_string(pool_->total()));
}

void Engine::FailNotFinite(Request& request) {
  const int bad = executor_->first_bad();
  Fail(request, "NON_FINITE_LOGITS", 0, 0, bad < 0 ? std::string() : program_->instructions[bad].name);
}

// With the event lock.
Event& Engine::News(uint32_t request) {
  for (Event& event : events_)
    if (event.request == request) return event;
  events_.emplace_back().request = request;
  return events_.back();
}

void Engine::Notify() {
  {
    const Locked locked(event_lock_);
    if ((events_.empty() && !asking_) || notified_) return;
    notified_ = true;
  }
  options_.notify(options_.context);
}

}  // namespace llm
