// The cache's memory: blocks of some tokens' keys and values in all layers and heads, counted by the sequences that
// share them.
//
// A full block can be found again by what is in it: its own tokens and the id of the block before it, which stands for
// everything before. A free block keeps its contents, and can be found, until it is needed for something else.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "kernels/attention_kernels.h"
#include "memory/memory.h"

namespace llm {

class BlockPool {
 public:
  static constexpr uint64_t kNoContent = 0;    // of a block that cannot be found
  static constexpr uint64_t kStartOfText = 1;  // before the first block

  // Null if the system refuses the memory.
  static std::unique_ptr<BlockPool> Create(const KvLayout& layout, int layers, int kv_heads, int blocks);

  int total() const { return static_cast<int>(blocks_.size()); }
  // Those that hold content which can be found again are among them.
  int free() const { return static_cast<int>(empty_.size()) + reusable_; }
  int reusable() const { return reusable_; }
  size_t bytes() const { return memory_->size(); }
  size_t block_bytes() const { return block_bytes_; }
  int block_tokens() const { return block_tokens_; }

  uint8_t* Data(int block) const { return memory_->data() + static_cast<size_t>(block) * block_bytes_; }
  size_t HeadOffset(int layer, int kv_head) const {
    return (static_cast<size_t>(layer) * kv_heads_ + kv_head) * head_bytes_;
  }

  // -1 if none is free. The caller has the one reference.
  int Allocate();
  void Retain(int block);
  void Release(int block);
  bool Shared(int block) const { return blocks_[block].references > 1; }

  // A block with these tokens after that content, with one more reference; -1 if there is none.
  int Find(uint64_t before, std::span<const int32_t> tokens);
  // Lets a full block be found. Returns the id of its content.
  uint64_t Publish(int block, uint64_t before, std::span<const int32_t> tokens);
  uint64_t Content(int block) const { return blocks_[block].content; }
  // Before its memory is written again.
  void Unpublish(int block);

 private:
  struct Block {
    int references = 0;
    uint64_t content = kNoContent, before = kNoContent;
    std::vector<int32_t> tokens;
    // The list of free blocks with content, the longest free first.
    int previous = -1, next = -1;
  };

  BlockPool(std::shared_ptr<Memory> memory, const KvLayout& layout, int layers, int kv_heads, int blocks);

  static uint64_t Hash(uint64_t before, std::span<const int32_t> tokens);
  void Link(int block);
  void Unlink(int block);

  std::shared_ptr<Memory> memory_;
  size_t head_bytes_, block_bytes_;
  int kv_heads_, block_tokens_;
  std::vector<Block> blocks_;
  std::vector<int> empty_;
  int oldest_ = -1, newest_ = -1, reusable_ = 0;
  uint64_t next_content_ = kStartOfText + 1;
  std::unordered_multimap<uint64_t, int> index_;
};

}  // namespace llm
