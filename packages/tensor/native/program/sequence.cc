#include "program/sequence.h"

#include <algorithm>
#include <cstring>

namespace llm {

int64_t Sequence::Reuse(std::span<const int32_t> tokens) {
  const int64_t block_tokens = pool_.block_tokens();
  if (shifted_ || published_ * block_tokens != length_ || static_cast<int64_t>(blocks_.size()) != published_) return 0;
  int64_t found = 0;
  while (found + block_tokens < static_cast<int64_t>(tokens.size())) {
    const std::span<const int32_t> next = tokens.subspan(found, block_tokens);
    const int block = pool_.Find(content_, next);
    if (block < 0) break;
    Push(block);
    Append(next);
    content_ = pool_.Content(block);
    ++published_;
    found += block_tokens;
  }
  length_ += found;
  return found;
}

// Whether block number `block` may be written: nobody shares it, and nobody will find it.
bool Sequence::Private(int64_t block) const { return !pool_.Shared(blocks_[block]); }

int Sequence::BlocksFor(int64_t count) const {
  const int64_t block_tokens = pool_.block_tokens();
  const int64_t needed = (length_ + count + block_tokens - 1) / block_tokens;
  int64_t fresh = std::max<int64_t>(0, needed - static_cast<int64_t>(blocks_.size()));
  const int64_t first = length_ / block_tokens;
  if (count > 0 && length_ % block_tokens != 0 && !Private(first)) ++fresh;
  return static_cast<int>(fresh);
}

// Before it is written. There is a free block, if it is shared.
void Sequence::MakePrivate(int64_t block) {
  if (Private(block)) return pool_.Unpublish(blocks_[block]);
  const int copy = pool_.Allocate();
  std::memcpy(pool_.Data(copy), table_[block], pool_.block_bytes());
  pool_.Release(blocks_[block]);
  blocks_[block] = copy;
  table_[block] = pool_.Data(copy);
}

bool Sequence::Reserve(int64_t count) {
  if (count <= 0) return true;
  if (BlocksFor(count) > pool_.free()) return false;
  const int64_t block_tokens = pool_.block_tokens();
  const int64_t first = length_ / block_tokens;
  if (length_ % block_tokens != 0) MakePrivate(first);
  while (static_cast<int64_t>(blocks_.size()) * block_tokens < length_ + count) Push(pool_.Allocate());
  return true;
}

void Sequence::Commit(int64_t count) {
  length_ += count;
  PublishFullBlocks();
}

void Sequence::PublishFullBlocks() {
  if (shifted_) return;
  const int64_t block_tokens = pool_.block_tokens();
  for (; (published_ + 1) * block_tokens <= length_; ++published_) {
    const std::span<const int32_t> tokens = this->tokens().subspan(published_ * block_tokens, block_tokens);
    const int own = blocks_[published_];
    if (pool_.Content(own) != BlockPool::kNoContent) {
      content_ = pool_.Content(own);
      continue;
    }
    // Two requests may have computed the same text at the same time: one copy of it is enough.
    const int same = pool_.Find(content_, tokens);
    if (same >= 0) {
      pool_.Release(own);
      blocks_[published_] = same;
      table_[published_] = pool_.Data(same);
      content_ = pool_.Content(same);
    } else {
      content_ = pool_.Publish(own, content_, tokens);
    }
  }
}

void Sequence::Truncate(int64_t length) {
  const int64_t block_tokens = pool_.block_tokens();
  const int64_t kept = (length + block_tokens - 1) / block_tokens;
  while (static_cast<int64_t>(blocks_.size()) > kept) {
    pool_.Release(blocks_.back());
    blocks_.pop_back();
    table_.pop_back();
  }
  length_ = std::min(length_, length);
  tokens_.resize(length_);
  published_ = std::min(published_, length_ / block_tokens);
  if (length_ <= published_ * block_tokens) shifted_ = false;
  content_ = published_ == 0 ? BlockPool::kStartOfText : pool_.Content(blocks_[published_ - 1]);
}

bool Sequence::Shift(int64_t keep, int64_t drop, const std::function<void(uint8_t*)>& move) {
  const int64_t block_tokens = pool_.block_tokens();
  int copies = 0;
  for (int64_t i = keep + drop; i < blocks(); ++i) copies += pool_.Shared(blocks_[i]) ? 1 : 0;
  if (copies > pool_.free()) return false;
  for (int64_t i = keep + drop; i < blocks(); ++i) {
    MakePrivate(i);
    move(table_[i]);
  }
  for (int64_t i = keep; i < keep + drop; ++i) pool_.Release(blocks_[i]);
  blocks_.erase(blocks_.begin() + keep, blocks_.begin() + keep + drop);
  table_.erase(table_.begin() + keep, table_.begin() + keep + drop);
  tokens_.erase(tokens_.begin() + keep * block_tokens, tokens_.begin() + (keep + drop) * block_tokens);
  length_ -= drop * block_tokens;
  published_ = std::min(published_, keep);
  content_ = published_ == 0 ? BlockPool::kStartOfText : pool_.Content(blocks_[published_ - 1]);
  shifted_ = true;
  return true;
}

void Sequence::Share(const Sequence& other) {
  Truncate(0);
  const int64_t block_tokens = pool_.block_tokens();
  for (int64_t i = 0; i * block_tokens < other.length_; ++i) {
    pool_.Retain(other.blocks_[i]);
    Push(other.blocks_[i]);
  }
  length_ = other.length_;
  tokens_.assign(other.tokens_.begin(), other.tokens_.begin() + length_);
  published_ = other.published_;
  shifted_ = other.shifted_;
  content_ = other.content_;
}

void Sequence::Push(int block) {
  blocks_.push_back(block);
  table_.push_back(pool_.Data(block));
}

}  // namespace llm
