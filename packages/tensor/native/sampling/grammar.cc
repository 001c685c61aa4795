#include "sampling/grammar.h"

#include <algorithm>
#include <utility>

namespace llm {
namespace {

uint64_t Key(int32_t state, int32_t below) {
  return static_cast<uint64_t>(static_cast<uint32_t>(state)) << 32 | static_cast<uint32_t>(below);
}

}  // namespace

size_t Grammar::SetHash::operator()(const Set& set) const {
  uint64_t hash = 0xcbf29ce484222325;  // Fowler, Noll and Vo
  for (const int32_t stack : set) hash = (hash ^ static_cast<uint32_t>(stack)) * 0x100000001b3;
  return static_cast<size_t>(hash);
}

Grammar::Grammar(GrammarGraph graph) : graph_(std::move(graph)) {
  stacks_.push_back({-1, -1});
  Set set;
  Reach(graph_.rule_starts[static_cast<size_t>(graph_.root)], kEmptyStack, &set);
  start_ = Intern(std::move(set));
}

int32_t Grammar::Push(int32_t state, int32_t below) {
  const auto [found, is_new] = stack_numbers_.try_emplace(Key(state, below), static_cast<int32_t>(stacks_.size()));
  if (is_new) stacks_.push_back({state, below});
  return found->second;
}

void Grammar::Reach(int32_t state, int32_t below, Set* set) {
  work_.push_back({state, below});
  while (!work_.empty()) {
    const Stack at = work_.back();
    work_.pop_back();
    if (!seen_.try_emplace(Key(at.state, at.below), true).second) continue;
    const GrammarGraph::State& node = graph_.states[static_cast<size_t>(at.state)];
    if (!node.bytes.empty()) set->push_back(Push(at.state, at.below));
    for (const int32_t next : node.free) work_.push_back({next, at.below});
    if (node.called_rule >= 0) {
      const bool returns = !graph_.states[static_cast<size_t>(node.after)].only_ends;
      const int32_t under = returns ? Push(node.after, at.below) : at.below;
      work_.push_back({graph_.rule_starts[static_cast<size_t>(node.called_rule)], under});
    }
    if (node.ends_rule) {
      if (at.below == kEmptyStack)
        set->push_back(kEmptyStack);
      else
        work_.push_back(stacks_[static_cast<size_t>(at.below)]);
    }
  }
}

int32_t Grammar::Intern(Set set) {
  if (set.empty()) return kDead;
  std::sort(set.begin(), set.end());
  set.erase(std::unique(set.begin(), set.end()), set.end());
  const auto found = set_numbers_.find(set);
  if (found != set_numbers_.end()) return found->second;
  if (sets_.size() >= kMostStates) {
    exhausted_ = true;
    return kDead;
  }
  const auto number = static_cast<int32_t>(sets_.size());
  sets_.push_back(set);
  tables_.emplace_back();
  set_numbers_.emplace(std::move(set), number);
  return number;
}

void Grammar::MakeTable(int32_t state) {
  // Tables can be made again; sets keep their numbers.
  if (table_count_ == kMostTables) {
    for (auto& table : tables_) table.reset();
    table_count_ = 0;
  }
  auto table = std::make_unique<Table>();
  std::fill(std::begin(table->next), std::end(table->next), kUnknown);
  tables_[static_cast<size_t>(state)] = std::move(table);
  ++table_count_;
}

int32_t Grammar::MakeStep(int32_t state, uint8_t byte) {
  Set next;
  seen_.clear();
  const Set from = sets_[static_cast<size_t>(state)];
  for (const int32_t stack : from) {
    if (stack == kEmptyStack) continue;
    const Stack at = stacks_[static_cast<size_t>(stack)];
    for (const GrammarGraph::ByteEdge& edge : graph_.states[static_cast<size_t>(at.state)].bytes)
      if (edge.low <= byte && byte <= edge.high) Reach(edge.to, at.below, &next);
  }
  const int32_t number = Intern(std::move(next));
  tables_[static_cast<size_t>(state)]->next[byte] = number;
  return number;
}

}  // namespace llm
