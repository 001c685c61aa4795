// Context-free grammars over bytes, for output that must have a form: a pushdown automaton whose states, sets of
// stacks, are made and numbered as they are met, so that a step from a known state by a known byte is a look into a
// table.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace llm {

// What a grammar compiles to. Every rule is a piece of one graph, from its first state to its last.
struct GrammarGraph {
  struct ByteEdge {
    uint8_t low, high;
    int32_t to;
  };
  struct State {
    std::vector<ByteEdge> bytes;
    std::vector<int32_t> free;  // states reached without a byte
    int32_t called_rule = -1;   // after that rule, the graph goes on at `after`
    int32_t after = -1;
    bool ends_rule = false;
    bool only_ends = false;  // leads to nothing but the end of the rule: need not be returned to
  };
  std::vector<State> states;
  std::vector<int32_t> rule_starts;
  int32_t root = -1;
};

struct GrammarError {
  int line = 0;  // from 1; 0 for the grammar as a whole
  std::string message;
};

// GBNF, as llama.cpp describes it: rules `name ::= ...` of "literals" (with \n \t \r \" \\ \xFF \u00FF \U000000FF),
// [character classes], [^negated ones], . for any character, (groups), * + ? {m,n}, | and # comments; `root` is what a
// whole text must be. Characters are those of UTF-8. False, with the reason, for what is no grammar, for left recursion
// and for what exceeds the limits below.
constexpr size_t kMostGrammarBytes = size_t{1} << 20;
constexpr size_t kMostGrammarStates = size_t{1} << 20;
constexpr size_t kMostGrammarRules = 4096;
constexpr int kMostGrammarDepth = 200;  // groups within groups
bool ParseGrammar(std::string_view text, GrammarGraph* graph, GrammarError* error);

// A grammar and the states met so far. Not for several threads at once.
class Grammar {
 public:
  static constexpr int32_t kDead = -1;  // the state from which no text of the grammar can follow

  explicit Grammar(GrammarGraph graph);

  int32_t start() const { return start_; }

  int32_t Step(int32_t state, uint8_t byte) {
    if (state < 0) return kDead;
    if (tables_[state] == nullptr) MakeTable(state);
    const int32_t next = tables_[state]->next[byte];
    return next == kUnknown ? MakeStep(state, byte) : next;
  }

  // Whether the text may end here.
  bool Ends(int32_t state) const { return state >= 0 && sets_[state].front() == kEmptyStack; }

  // Beyond this many states the grammar gives up: every further state is dead.
  static constexpr size_t kMostStates = size_t{1} << 20;
  bool exhausted() const { return exhausted_; }

 private:
  // Stacks share their lower parts: one is a graph state on top of another stack.
  struct Stack {
    int32_t state;
    int32_t below;
  };
  static constexpr int32_t kEmptyStack = 0;  // nothing is left to match
  static constexpr int32_t kUnknown = -2;
  static constexpr size_t kMostTables = 8192;
  struct Table {
    int32_t next[256];
  };
  using Set = std::vector<int32_t>;  // of stacks whose top has byte edges, and the empty stack; sorted

  int32_t Push(int32_t state, int32_t below);
  // Adds what (state, below) leads to without a byte.
  void Reach(int32_t state, int32_t below, Set* set);
  int32_t Intern(Set set);
  void MakeTable(int32_t state);
  int32_t MakeStep(int32_t state, uint8_t byte);

  struct SetHash {
    size_t operator()(const Set& set) const;
  };

  GrammarGraph graph_;
  int32_t start_;
  std::vector<Stack> stacks_;
  std::unordered_map<uint64_t, int32_t> stack_numbers_;
  std::vector<Set> sets_;
  std::unordered_map<Set, int32_t, SetHash> set_numbers_;
  std::vector<std::unique_ptr<Table>> tables_;
  size_t table_count_ = 0;
  std::vector<Stack> work_;
  std::unordered_map<uint64_t, bool> seen_;
  bool exhausted_ = false;
};

}  // namespace llm
