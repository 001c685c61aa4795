#include <algorithm>
#include <map>
#include <utility>

#include "sampling/grammar.h"
#include "sampling/utf8_ranges.h"

namespace llm {
namespace {

// A piece of graph between two states.
struct Piece {
  int32_t first = -1, last = -1;
};

class Parser {
 public:
  Parser(std::string_view text, GrammarGraph* graph, GrammarError* error) : text_(text), graph_(graph), error_(error) {}

  bool Parse() {
    if (text_.size() > kMostGrammarBytes) return Fail("the grammar is longer than a megabyte");
    SkipSpace(true);
    while (at_ < text_.size()) {
      if (!ParseRule()) return false;
      SkipSpace(true);
    }
    if (defined_.size() > kMostGrammarRules) return FailAt(0, "the grammar has too many rules");
    for (const auto& [name, rule] : rules_)
      if (!defined_[static_cast<size_t>(rule)]) return FailAt(first_use_[static_cast<size_t>(rule)], "no rule " + name);
    const auto root = rules_.find("root");
    if (root == rules_.end()) return FailAt(0, "there is no rule root");
    graph_->root = root->second;
    return CheckLeftRecursion() && (MarkEnds(), true);
  }

 private:
  bool FailAt(int line, std::string message) {
    *error_ = {line, std::move(message)};
    return false;
  }
  bool Fail(std::string message) {
    const auto lines = std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at_), '\n');
    return FailAt(static_cast<int>(lines) + 1, std::move(message));
  }

  bool AtEnd() const { return at_ >= text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[at_]; }
  bool Take(char c) {
    if (AtEnd() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  // Spaces and comments; line breaks too, if they do not end a rule here.
  void SkipSpace(bool breaks) {
    while (!AtEnd()) {
      const char c = text_[at_];
      if (c == '#') {
        while (!AtEnd() && text_[at_] != '\n') ++at_;
      } else if (c == ' ' || c == '\t' || (breaks && (c == '\n' || c == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  static bool IsNamePart(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  }

  std::string TakeName() {
    const size_t begin = at_;
    while (!AtEnd() && IsNamePart(text_[at_])) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  int32_t RuleNumber(const std::string& name) {
    const auto [found, is_new] = rules_.try_emplace(name, static_cast<int32_t>(defined_.size()));
    if (is_new) {
      defined_.push_back(false);
      names_.push_back(name);
      first_use_.push_back(
          static_cast<int>(std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at_), '\n')) + 1);
      graph_->rule_starts.push_back(-1);
    }
    return found->second;
  }

  bool ParseRule() {
    const std::string name = TakeName();
    if (name.empty()) return Fail("a rule must begin with its name");
    const auto rule = static_cast<size_t>(RuleNumber(name));
    if (defined_[rule]) return Fail("rule " + name + " is defined twice");
    SkipSpace(false);
    if (text_.substr(at_, 3) != "::=") return Fail("::= must follow the name " + name);
    at_ += 3;
    SkipSpace(true);
    Piece piece;
    if (!ParseAlternatives(0, &piece)) return false;
    if (!AtEnd() && Peek() != '\n' && Peek() != '\r') return Fail(std::string("unexpected ") + Peek());
    graph_->rule_starts[rule] = piece.first;
    graph_->states[static_cast<size_t>(piece.last)].ends_rule = true;
    defined_[rule] = true;
    return true;
  }

  // -1 once there are too many.
  int32_t NewState() {
    if (graph_->states.size() >= kMostGrammarStates) return -1;
    graph_->states.emplace_back();
    return static_cast<int32_t>(graph_->states.size() - 1);
  }
  bool NewPiece(Piece* piece) {
    *piece = {NewState(), NewState()};
    return piece->last >= 0 || Fail("the grammar is too large");
  }
  GrammarGraph::State& At(int32_t state) { return graph_->states[static_cast<size_t>(state)]; }
  void Join(int32_t from, int32_t to) { At(from).free.push_back(to); }

  bool ParseAlternatives(int depth, Piece* piece) {
    if (depth > kMostGrammarDepth) return Fail("groups are nested too deeply");
    if (!NewPiece(piece)) return false;
    do {
      SkipSpace(true);
      Piece sequence;
      if (!ParseSequence(depth, &sequence)) return false;
      Join(piece->first, sequence.first);
      Join(sequence.last, piece->last);
      // A line may begin with | to go on with the rule above it.
      const size_t before = at_;
      SkipSpace(true);
      if (Peek() != '|' && depth == 0) at_ = before;
    } while (Take('|'));
    return true;
  }

  bool ParseSequence(int depth, Piece* piece) {
    const int32_t first = NewState();
    if (first < 0) return Fail("the grammar is too large");
    *piece = {first, first};
    for (;;) {
      SkipSpace(depth > 0);
      const size_t begin = at_;
      Piece item;
      bool found;
      if (!ParseItem(depth, &item, &found)) return false;
      if (!found) return true;
      SkipSpace(false);
      if (!ParseRepetition(depth, begin, &item)) return false;
      Join(piece->last, item.first);
      piece->last = item.last;
    }
  }

  bool ParseItem(int depth, Piece* piece, bool* found) {
    *found = true;
    const char c = Peek();
    if (c == '"') return ParseLiteral(piece);
    if (c == '[') return ParseClass(piece);
    if (Take('.')) return AddCharacters({{0, kLastCharacter}}, piece);
    if (Take('(')) {
      if (!ParseAlternatives(depth + 1, piece)) return false;
      SkipSpace(true);
      return Take(')') || Fail("a group is not closed");
    }
    *found = IsNamePart(c);
    if (!*found) return true;
    const std::string name = TakeName();
    const int32_t rule = RuleNumber(name);
    if (!NewPiece(piece)) return false;
    At(piece->first).called_rule = rule;
    At(piece->first).after = piece->last;
    return true;
  }

  // The item at `begin` again, for a repetition.
  bool Again(int depth, size_t begin, Piece* piece) {
    const size_t end = std::exchange(at_, begin);
    bool found;
    if (!ParseItem(depth, piece, &found)) return false;
    at_ = end;
    return true;
  }

  bool ParseRepetition(int depth, size_t begin, Piece* piece) {
    int least = 1, most = 1;  // -1: any number
    if (Take('*')) {
      least = 0, most = -1;
    } else if (Take('+')) {
      most = -1;
    } else if (Take('?')) {
      least = 0;
    } else if (Take('{')) {
      if (!TakeNumber(&least)) return false;
      most = least;
      if (Take(',')) {
        most = -1;
        if (Peek() != '}' && !TakeNumber(&most)) return false;
      }
      if (!Take('}')) return Fail("a repetition is not closed");
      if (most >= 0 && most < least) return Fail("a repetition has more at least than at most");
    } else {
      return true;
    }
    const size_t end = at_;
    Piece whole;
    if (!NewPiece(&whole)) return false;
    int32_t last = whole.first;
    Piece item = *piece;
    bool fresh = true;  // `item` is not in use yet
    const auto next = [&] {
      if (!fresh && !Again(depth, begin, &item)) return false;
      fresh = false;
      at_ = end;
      return true;
    };
    for (int i = 0; i < least; ++i) {
      if (!next()) return false;
      Join(last, item.first);
      last = item.last;
    }
    if (most < 0) {
      if (!next()) return false;
      const int32_t loop = NewState();
      if (loop < 0) return Fail("the grammar is too large");
      Join(last, loop);
      Join(loop, item.first);
      Join(item.last, loop);
      last = loop;
    }
    for (int i = least; i < most; ++i) {
      if (!next()) return false;
      Join(last, whole.last);
      Join(last, item.first);
      last = item.last;
    }
    Join(last, whole.last);
    *piece = whole;
    return true;
  }

  bool TakeNumber(int* number) {
    SkipSpace(false);
    if (Peek() < '0' || Peek() > '9') return Fail("a repetition must have a number");
    *number = 0;
    while (Peek() >= '0' && Peek() <= '9') {
      *number = *number * 10 + (text_[at_++] - '0');
      if (*number > 100000) return Fail("a repetition is too long");
    }
    SkipSpace(false);
    return true;
  }

  bool ParseLiteral(Piece* piece) {
    ++at_;
    const int32_t first = NewState();
    if (first < 0) return Fail("the grammar is too large");
    *piece = {first, first};
    while (!Take('"')) {
      uint32_t character;
      if (!TakeCharacter(&character)) return false;
      Piece next;
      if (!AddCharacters({{character, character}}, &next)) return false;
      Join(piece->last, next.first);
      piece->last = next.last;
    }
    return true;
  }

  bool ParseClass(Piece* piece) {
    ++at_;
    const bool negated = Take('^');
    std::vector<CharacterRange> ranges;
    while (!Take(']')) {
      CharacterRange range;
      if (!TakeCharacter(&range.first)) return false;
      range.last = range.first;
      if (Peek() == '-' && text_.substr(at_, 2) != "-]") {
        ++at_;
        if (!TakeCharacter(&range.last)) return false;
        if (range.last < range.first) return Fail("a range of characters is the wrong way round");
      }
      ranges.push_back(range);
    }
    return AddCharacters(negated ? Complement(std::move(ranges)) : ranges, piece);
  }

  // One character of a literal or class: an escape, or UTF-8.
  bool TakeCharacter(uint32_t* character) {
    if (AtEnd() || Peek() == '\n') return Fail("a literal or class is not closed");
    if (!Take('\\')) {
      const size_t length = DecodeUtf8(text_.substr(at_), character);
      at_ += length;
      return length > 0 || Fail("the grammar is not valid UTF-8");
    }
    const char c = Peek();
    if (!AtEnd()) ++at_;
    constexpr std::pair<char, uint32_t> kEscapes[] = {{'n', '\n'}, {'t', '\t'}, {'r', '\r'}, {'"', '"'}, {'\\', '\\'},
                                                      {'[', '['},  {']', ']'},  {'-', '-'},  {'^', '^'}};
    for (const auto& [name, value] : kEscapes) {
      if (c != name) continue;
      *character = value;
      return true;
    }
    const int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0) return Fail(std::string("unknown escape \\") + c);
    *character = 0;
    for (int i = 0; i < digits; ++i) {
      const char d = Peek();
      const int value = d >= '0' && d <= '9'   ? d - '0'
                        : d >= 'a' && d <= 'f' ? d - 'a' + 10
                        : d >= 'A' && d <= 'F' ? d - 'A' + 10
                                               : -1;
      if (value < 0) return Fail("an escape has too few digits");
      *character = *character << 4 | static_cast<uint32_t>(value);
      ++at_;
    }
    return *character <= kLastCharacter || Fail("an escape is beyond Unicode");
  }

  bool AddCharacters(const std::vector<CharacterRange>& ranges, Piece* piece) {
    if (!NewPiece(piece)) return false;
    bool fits = true;
    for (const CharacterRange& range : ranges)
      ForEachUtf8Sequence(range, [&](std::span<const ByteRange> bytes) {
        int32_t from = piece->first;
        for (size_t i = 0; i < bytes.size() && fits; ++i) {
          const int32_t to = i + 1 == bytes.size() ? piece->last : NewState();
          fits = to >= 0;
          if (fits) At(from).bytes.push_back({bytes[i].low, bytes[i].high, to});
          from = to;
        }
      });
    return fits || Fail("the grammar is too large");
  }

  // Rules that can begin with themselves would grow a stack without end.
  bool CheckLeftRecursion() {
    const size_t count = graph_->rule_starts.size();
    std::vector<bool> nullable(count);
    std::vector<std::vector<int32_t>> begins(count);
    for (bool changed = true; changed;) {
      changed = false;
      for (size_t rule = 0; rule < count; ++rule) {
        bool ends = false;
        begins[rule].clear();
        std::vector<int32_t> work = {graph_->rule_starts[rule]};
        std::map<int32_t, bool> seen;
        while (!work.empty()) {
          const int32_t state = work.back();
          work.pop_back();
          if (std::exchange(seen[state], true)) continue;
          const GrammarGraph::State& node = At(state);
          ends = ends || node.ends_rule;
          work.insert(work.end(), node.free.begin(), node.free.end());
          if (node.called_rule < 0) continue;
          begins[rule].push_back(node.called_rule);
          if (nullable[static_cast<size_t>(node.called_rule)]) work.push_back(node.after);
        }
        if (ends && !nullable[rule]) nullable[rule] = changed = true;
      }
    }
    // Take away rules that begin with no other, again and again: what stays is a cycle or leads into one.
    std::vector<bool> settled(count);
    for (bool changed = true; changed;) {
      changed = false;
      for (size_t rule = 0; rule < count; ++rule) {
        if (settled[rule]) continue;
        const bool free = std::all_of(begins[rule].begin(), begins[rule].end(),
                                      [&](int32_t other) { return settled[static_cast<size_t>(other)]; });
        if (free) settled[rule] = changed = true;
      }
    }
    const auto stuck = std::find(settled.begin(), settled.end(), false);
    if (stuck == settled.end()) return true;
    const auto rule = static_cast<size_t>(stuck - settled.begin());
    return FailAt(first_use_[rule], "rule " + names_[rule] + " can begin with itself (left recursion)");
  }

  void MarkEnds() {
    // Free edges that matter lead to later states or are loops, so that a few rounds settle it.
    for (bool changed = true; changed;) {
      changed = false;
      for (GrammarGraph::State& state : graph_->states) {
        if (state.only_ends || !state.bytes.empty() || state.called_rule >= 0) continue;
        const bool ends = state.ends_rule ? state.free.empty() : state.free.size() == 1 && At(state.free[0]).only_ends;
        if (ends) state.only_ends = changed = true;
      }
    }
  }

  std::string_view text_;
  size_t at_ = 0;
  GrammarGraph* graph_;
  GrammarError* error_;
  std::map<std::string, int32_t> rules_;
  std::vector<std::string> names_;
  std::vector<bool> defined_;
  std::vector<int> first_use_;  // its line
};

}  // namespace

bool ParseGrammar(std::string_view text, GrammarGraph* graph, GrammarError* error) {
  return Parser(text, graph, error).Parse();
}

}  // namespace llm
