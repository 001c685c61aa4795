#include "sampling/token_constraint.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace llm {

TokenMasks::TokenMasks(std::shared_ptr<Grammar> grammar, std::shared_ptr<const TokenTrie> trie,
                       std::vector<int32_t> end_tokens)
    : grammar_(std::move(grammar)), trie_(std::move(trie)), end_tokens_(std::move(end_tokens)) {
  std::erase_if(end_tokens_, [&](int32_t token) { return token < 0 || token >= trie_->size(); });
  path_.resize(TokenTrie::kMostTokenBytes + 1);
}

bool TokenMasks::IsEnd(int32_t token) const {
  return std::find(end_tokens_.begin(), end_tokens_.end(), token) != end_tokens_.end();
}

bool TokenMasks::Ends(int32_t state) {
  const Locked locked(lock_);
  return grammar_->Ends(state);
}

TokenMasks::Mask TokenMasks::MaskOf(int32_t state) {
  if (Mask mask = FindMask(state)) return mask;
  const Locked making(lock_);
  // Another thread may have made it while this one waited.
  if (Mask mask = FindMask(state)) return mask;
  auto mask = std::make_shared<const std::vector<uint32_t>>(MakeMask(state));
  const Locked locked(masks_lock_);
  if ((masks_.size() + 1) * mask->size() * sizeof(uint32_t) > kMostMaskBytes) masks_.clear();
  return masks_.emplace(state, std::move(mask)).first->second;
}

TokenMasks::Mask TokenMasks::FindMask(int32_t state) {
  const Locked locked(masks_lock_);
  const auto found = masks_.find(state);
  return found == masks_.end() ? nullptr : found->second;
}

bool TokenMasks::GoesOn(int32_t state) {
  const Locked locked(lock_);
  for (int byte = 0; byte < 256; ++byte)
    if (grammar_->Step(state, static_cast<uint8_t>(byte)) != Grammar::kDead) return true;
  return false;
}

std::vector<uint32_t> TokenMasks::MakeMask(int32_t state) {
  std::vector<uint32_t> mask(static_cast<size_t>(trie_->size() + 31) / 32);
  const auto allow = [&](int32_t token) { mask[static_cast<size_t>(token) / 32] |= 1u << (token % 32); };
  const auto nodes = trie_->nodes();
  path_[0] = state;
  for (size_t i = 0; i < nodes.size();) {
    const TokenTrie::Node& node = nodes[i];
    const int32_t next = grammar_->Step(path_[node.depth], node.byte);
    if (next == Grammar::kDead) {
      i = static_cast<size_t>(node.end);
      continue;
    }
    path_[node.depth + 1u] = next;
    for (const int32_t token : trie_->TokensOf(i)) allow(token);
    ++i;
  }
  // An end token's bytes, if it has any, are not text.
  const bool ends = grammar_->Ends(state);
  for (const int32_t token : end_tokens_) {
    mask[static_cast<size_t>(token) / 32] &= ~(1u << (token % 32));
    if (ends) allow(token);
  }
  return mask;
}

int32_t TokenMasks::Follow(int32_t state, int32_t token) {
  if (token < 0 || token >= trie_->size()) return Grammar::kDead;
  const auto bytes = trie_->BytesOf(token);
  if (bytes.empty() || bytes.size() > TokenTrie::kMostTokenBytes) return Grammar::kDead;
  const Locked locked(lock_);
  for (const uint8_t byte : bytes) state = grammar_->Step(state, byte);
  return state;
}

bool TokenConstraint::Complete() {
  if (!CanEnd()) return false;
  if (ended_ || !masks_->GoesOn(state_)) return true;
  // It may, but perhaps not by a whole token: the mask tells, which the next step needs anyway.
  const std::vector<uint32_t>& mask = Allowed();
  for (size_t word = 0; word < mask.size(); ++word)
    for (uint32_t bits = mask[word]; bits != 0; bits &= bits - 1)
      if (!masks_->IsEnd(static_cast<int32_t>(word * 32) + std::countr_zero(bits))) return false;
  return true;
}

bool TokenConstraint::Accept(int32_t token) {
  if (ended_) return false;
  if (masks_->IsEnd(token)) return ended_ = masks_->Ends(state_);
  const int32_t next = masks_->Follow(state_, token);
  if (next == Grammar::kDead) return false;
  state_ = next;
  mask_ = nullptr;
  return true;
}

}  // namespace llm
