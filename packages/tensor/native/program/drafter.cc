#include "program/drafter.h"

#include <algorithm>

namespace llm {

void LookUp(std::span<const int32_t> text, int count, std::vector<int32_t>* guesses) {
  guesses->clear();
  const auto length = static_cast<int64_t>(text.size());
  int best = kLookupShortest - 1;
  int64_t found = -1;
  for (int64_t end = length - 1; end > 0 && best < kLookupLongest; --end) {
    // How many tokens before `end` are the same as those before the text's end.
    int same = 0;
    while (same < kLookupLongest && same < end && text[end - 1 - same] == text[length - 1 - same]) ++same;
    if (same > best) {
      best = same;
      found = end;
    }
  }
  if (found < 0) return;
  const std::span<const int32_t> next = text.subspan(found, std::min<int64_t>(count, length - found));
  guesses->assign(next.begin(), next.end());
}

std::unique_ptr<DraftModel> DraftModel::Create(std::unique_ptr<Program> program, Executor::Options options) {
  std::unique_ptr<DraftModel> model(new DraftModel(std::move(program)));
  const Program& p = *model->program_;
  options.debug = options.profile = options.trace = false;
  model->pool_ = BlockPool::Create(p.cache, p.layers, p.kv_heads, p.blocks);
  if (model->pool_ == nullptr) return nullptr;
  model->executor_ = Executor::Create(p, *model->pool_, options);
  if (model->executor_ == nullptr) return nullptr;
  SamplingOptions greedy;
  greedy.temperature = 0;
  model->greedy_ = std::make_unique<Sampler>(*options.kernels->vector, greedy, p.vocabulary);
  return model;
}

void DraftModel::Guess(Sequence& sequence, std::span<const int32_t> text, int count, std::vector<int32_t>* guesses) {
  guesses->clear();
  const auto length = static_cast<int64_t>(text.size());
  if (length + count > program_->context || count < 1) return;

  const std::span<const int32_t> known = sequence.tokens();
  const auto differs = std::mismatch(known.begin(), known.end(), text.begin(), text.end());
  sequence.Truncate(std::min<int64_t>(differs.first - known.begin(), length - 1));
  sequence.Reuse(text.subspan(sequence.length()));
  while (static_cast<int>(guesses->size()) < count) {
    // What it has not seen of the text, then its own guesses one by one.
    const int64_t seen = sequence.length();
    const std::span<const int32_t> rest =
        seen < length ? text.subspan(seen) : std::span<const int32_t>(*guesses).last(1);
    const std::span<const int32_t> tokens = rest.first(std::min<size_t>(rest.size(), program_->max_tokens));
    if (!sequence.Reserve(static_cast<int64_t>(tokens.size()))) return;
    sequence.Append(tokens);
    step_.Clear();
    step_.tokens.assign(tokens.begin(), tokens.end());
    for (size_t i = 0; i < tokens.size(); ++i) step_.positions.push_back(seen + static_cast<int64_t>(i));
    step_.segments.push_back({sequence.table(), seen, 0, static_cast<int>(tokens.size())});
    const bool last = tokens.size() == rest.size();
    if (last) {
      OutputJob job;
      job.row = static_cast<int>(tokens.size()) - 1;
      job.sampler = greedy_.get();
      step_.outputs.push_back(job);
    }
    if (!executor_->Run(step_)) return sequence.Rollback();
    sequence.Commit(static_cast<int64_t>(tokens.size()));
    if (!last) continue;
    const SampleResult& result = step_.outputs[0].result;
    if (result.status != SampleStatus::kOk) return;
    guesses->push_back(result.token);
  }
}

}  // namespace llm
