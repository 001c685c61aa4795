#include "program/block_pool.h"

#include <algorithm>

namespace llm {

std::unique_ptr<BlockPool> BlockPool::Create(const KvLayout& layout, int layers, int kv_heads, int blocks) {
  const bool cached = layers > 0 && kv_heads > 0;
  const size_t head_bytes = cached ? layout.HeadBytes() : 0;
  const size_t bytes = head_bytes * layers * kv_heads * blocks;
  std::shared_ptr<Memory> memory = AllocateMemory(std::max<size_t>(bytes, 1));
  if (memory == nullptr) return nullptr;
  return std::unique_ptr<BlockPool>(new BlockPool(std::move(memory), layout, layers, kv_heads, blocks));
}

BlockPool::BlockPool(std::shared_ptr<Memory> memory, const KvLayout& layout, int layers, int kv_heads, int blocks)
    : memory_(std::move(memory)),
      head_bytes_(layers > 0 && kv_heads > 0 ? layout.HeadBytes() : 0),
      block_bytes_(head_bytes_ * layers * kv_heads),
      kv_heads_(kv_heads),
      block_tokens_(layout.block_tokens),
      blocks_(blocks) {
  for (int block = blocks - 1; block >= 0; --block) empty_.push_back(block);
}

int BlockPool::Allocate() {
  int block = -1;
  if (!empty_.empty()) {
    block = empty_.back();
    empty_.pop_back();
  } else if (oldest_ >= 0) {
    block = oldest_;
    Unlink(block);
    Unpublish(block);
  } else {
    return -1;
  }
  blocks_[block].references = 1;
  return block;
}

void BlockPool::Retain(int block) {
  if (blocks_[block].references++ == 0) Unlink(block);
}

void BlockPool::Release(int block) {
  if (--blocks_[block].references > 0) return;
  if (blocks_[block].content == kNoContent)
    empty_.push_back(block);
  else
    Link(block);
}

int BlockPool::Find(uint64_t before, std::span<const int32_t> tokens) {
  const auto [begin, end] = index_.equal_range(Hash(before, tokens));
  for (auto entry = begin; entry != end; ++entry) {
    const Block& block = blocks_[entry->second];
    if (block.before != before || !std::equal(tokens.begin(), tokens.end(), block.tokens.begin(), block.tokens.end()))
      continue;
    Retain(entry->second);
    return entry->second;
  }
  return -1;
}

uint64_t BlockPool::Publish(int index, uint64_t before, std::span<const int32_t> tokens) {
  Block& block = blocks_[index];
  block.content = next_content_++;
  block.before = before;
  block.tokens.assign(tokens.begin(), tokens.end());
  index_.emplace(Hash(before, tokens), index);
  return block.content;
}

void BlockPool::Unpublish(int index) {
  Block& block = blocks_[index];
  if (block.content == kNoContent) return;
  const auto [begin, end] = index_.equal_range(Hash(block.before, block.tokens));
  index_.erase(std::find_if(begin, end, [index](const auto& entry) { return entry.second == index; }));
  block.content = kNoContent;
}

// FNV-1a over whole tokens. Equal hashes are told apart by their contents.
uint64_t BlockPool::Hash(uint64_t before, std::span<const int32_t> tokens) {
  constexpr uint64_t kPrime = 0x100000001b3;
  uint64_t hash = (0xcbf29ce484222325 ^ before) * kPrime;
  for (const int32_t token : tokens) hash = (hash ^ static_cast<uint32_t>(token)) * kPrime;
  return hash;
}

void BlockPool::Link(int index) {
  blocks_[index].previous = newest_;
  blocks_[index].next = -1;
  (newest_ >= 0 ? blocks_[newest_].next : oldest_) = index;
  newest_ = index;
  ++reusable_;
}

void BlockPool::Unlink(int index) {
  const Block& block = blocks_[index];
  (block.previous >= 0 ? blocks_[block.previous].next : oldest_) = block.next;
  (block.next >= 0 ? blocks_[block.next].previous : newest_) = block.previous;
  --reusable_;
}

}  // namespace llm
