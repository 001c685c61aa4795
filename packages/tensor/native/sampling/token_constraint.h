// Keeps generated text within a grammar: which tokens may come next, as a mask for the sampler.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "sampling/grammar.h"
#include "sampling/token_trie.h"
#include "threads/lock.h"

namespace llm {

// The masks of a grammar over a vocabulary, kept by grammar state: a state is met again and again, and a walk over the
// whole vocabulary costs a millisecond or more. Shared by every text under the grammar, on any thread.
class TokenMasks {
 public:
  // Texts may end with the end tokens, and only where the grammar allows it.
  TokenMasks(std::shared_ptr<Grammar> grammar, std::shared_ptr<const TokenTrie> trie, std::vector<int32_t> end_tokens);

  // Bit t % 32 of word t / 32: token t may follow.
  using Mask = std::shared_ptr<const std::vector<uint32_t>>;
  Mask MaskOf(int32_t state);
  bool HasMask(int32_t state) { return FindMask(state) != nullptr; }
  // Where the token leads; Grammar::kDead if it may not come.
  int32_t Follow(int32_t state, int32_t token);

  int32_t start() const { return grammar_->start(); }
  bool Ends(int32_t state);
  // Whether the text can go on from here by any byte.
  bool GoesOn(int32_t state);
  bool IsEnd(int32_t token) const;
  int vocabulary() const { return trie_->size(); }

 private:
  static constexpr size_t kMostMaskBytes = size_t{64} << 20;

  Mask FindMask(int32_t state);
  std::vector<uint32_t> MakeMask(int32_t state);

  Lock lock_;        // over all that a look changes, but for the masks; held while one is made
  Lock masks_lock_;  // taken last, so that a mask at hand does not wait for another to be made
  std::shared_ptr<Grammar> grammar_;
  std::shared_ptr<const TokenTrie> trie_;
  std::vector<int32_t> end_tokens_;
  std::unordered_map<int32_t, Mask> masks_;
  std::vector<int32_t> path_;
};

// One text under a grammar. Copies go on independently, as forked sequences do.
class TokenConstraint {
 public:
  explicit TokenConstraint(std::shared_ptr<TokenMasks> masks) : masks_(std::move(masks)), state_(masks_->start()) {}

  // Valid until the text goes on.
  const std::vector<uint32_t>& Allowed() {
    if (mask_ == nullptr) mask_ = masks_->MaskOf(state_);
    return *mask_;
  }
  // False, and nothing changes, if the token may not come.
  bool Accept(int32_t token);
  // Whether the text may end here; after an end token it has.
  bool CanEnd() const { return ended_ || masks_->Ends(state_); }
  // It has ended, or may and no token but an end token can come.
  bool Complete();
  // Whether Allowed() has nothing left to compute.
  bool HasMask() const { return mask_ != nullptr || masks_->HasMask(state_); }
  const std::shared_ptr<TokenMasks>& masks() const { return masks_; }
  int32_t state() const { return state_; }
  bool ended() const { return ended_; }

 private:
  std::shared_ptr<TokenMasks> masks_;
  TokenMasks::Mask mask_;  // of the state, once it was asked for
  int32_t state_;
  bool ended_ = false;
};

}  // namespace llm
