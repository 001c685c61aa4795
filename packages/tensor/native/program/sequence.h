// Tokens and where the cache keeps them. Not for several threads at once: the engine's lock guards all sequences.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "program/block_pool.h"

namespace llm {

class Sequence {
 public:
  explicit Sequence(BlockPool& pool) : pool_(pool) {}
  ~Sequence() { Truncate(0); }

  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  int64_t length() const { return length_; }
  // Those in the cache, then those that a step is about to add.
  std::span<const int32_t> tokens() const { return tokens_; }
  uint8_t* const* table() const { return table_.data(); }

  // Takes over full blocks that hold the start of `tokens`, if the sequence ends on a block's border. Returns how many
  // tokens that saves. The last token is never among them: something must be left to compute.
  int64_t Reuse(std::span<const int32_t> tokens);

  // Free blocks that Reserve(count) would take.
  int BlocksFor(int64_t count) const;
  // Memory for `count` more tokens, which nobody else sees. False, and nothing changed, if there are too few blocks.
  bool Reserve(int64_t count);

  // A step computes these next tokens; their blocks are reserved. Then either they count, or they were never there.
  void Append(std::span<const int32_t> tokens) { tokens_.insert(tokens_.end(), tokens.begin(), tokens.end()); }
  void Commit(int64_t count);
  void Rollback() { tokens_.resize(length_); }

  void Truncate(int64_t length);
  // Forgets `drop` blocks after the first `keep`. `move` makes the blocks behind them into those of earlier positions.
  // False, and nothing changed, if there are too few free blocks for those that others share.
  bool Shift(int64_t keep, int64_t drop, const std::function<void(uint8_t*)>& move);
  // Becomes what the other is, sharing its blocks.
  void Share(const Sequence& other);

  uint8_t* Block(int64_t index) const { return table_[index]; }
  int64_t blocks() const { return static_cast<int64_t>(blocks_.size()); }

  // One request at a time has the sequence.
  bool busy = false;

 private:
  void PublishFullBlocks();
  void Push(int block);
  bool Private(int64_t block) const;
  void MakePrivate(int64_t block);

  BlockPool& pool_;
  int64_t length_ = 0;
  std::vector<int32_t> tokens_;
  std::vector<int> blocks_;
  std::vector<uint8_t*> table_;
  int64_t published_ = 0;                       // full blocks at the start that can be found
  uint64_t content_ = BlockPool::kStartOfText;  // of the last of them
  bool shifted_ = false;                        // blocks behind these saw more text than is left
};

}  // namespace llm
