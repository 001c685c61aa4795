// The tokens of a vocabulary by their bytes, as a tree in one array: a node, then the nodes below it, then its
// neighbour.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace llm {

class TokenTrie {
 public:
  struct Node {
    uint8_t byte;
    uint16_t depth;  // bytes before it
    int32_t end;     // of the nodes below it
    int32_t tokens;  // of exactly these bytes: from here in tokens(), up to the next node's
  };

  // Token t is bytes[offsets[t]] to bytes[offsets[t + 1]]. Those without bytes, such as control tokens, and those of
  // more than kMostTokenBytes are in no node. Offsets must not fall and must end within the bytes.
  static constexpr int kMostTokenBytes = 1024;
  TokenTrie(std::span<const uint8_t> bytes, std::span<const int32_t> offsets);

  std::span<const Node> nodes() const { return {nodes_.data(), nodes_.size() - 1}; }
  std::span<const int32_t> TokensOf(size_t node) const {
    return {tokens_.data() + nodes_[node].tokens, tokens_.data() + nodes_[node + 1].tokens};
  }
  int size() const { return static_cast<int>(starts_.size()) - 1; }
  std::span<const uint8_t> BytesOf(int32_t token) const {
    return {bytes_.data() + starts_[static_cast<size_t>(token)],
            bytes_.data() + starts_[static_cast<size_t>(token) + 1]};
  }

 private:
  std::vector<uint8_t> bytes_;
  std::vector<int32_t> starts_;
  std::vector<Node> nodes_;  // and one more, behind the last
  std::vector<int32_t> tokens_;
};

}  // namespace llm
