#include "sampling/token_trie.h"

#include <algorithm>

namespace llm {

TokenTrie::TokenTrie(std::span<const uint8_t> bytes, std::span<const int32_t> offsets)
    : bytes_(bytes.begin(), bytes.end()), starts_(offsets.begin(), offsets.end()) {
  std::vector<int32_t> order;
  for (int32_t token = 0; token < size(); ++token) {
    const size_t length = BytesOf(token).size();
    if (length > 0 && length <= kMostTokenBytes) order.push_back(token);
  }
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    const auto x = BytesOf(a), y = BytesOf(b);
    const auto [at_x, at_y] = std::mismatch(x.begin(), x.end(), y.begin(), y.end());
    if (at_x != x.end() && at_y != y.end()) return *at_x < *at_y;
    return x.size() != y.size() ? x.size() < y.size() : a < b;
  });

  std::vector<int32_t> path;  // nodes of the last token's bytes
  const auto close_to = [&](size_t depth) {
    for (; path.size() > depth; path.pop_back())
      nodes_[static_cast<size_t>(path.back())].end = static_cast<int32_t>(nodes_.size());
  };
  for (const int32_t token : order) {
    const auto text = BytesOf(token);
    size_t shared = 0;
    while (shared < path.size() && shared < text.size() &&
           nodes_[static_cast<size_t>(path[shared])].byte == text[shared])
      ++shared;
    close_to(shared);
    for (size_t i = shared; i < text.size(); ++i) {
      path.push_back(static_cast<int32_t>(nodes_.size()));
      nodes_.push_back({text[i], static_cast<uint16_t>(i), 0, static_cast<int32_t>(tokens_.size())});
    }
    tokens_.push_back(token);
  }
  close_to(0);
  nodes_.push_back({0, 0, 0, static_cast<int32_t>(tokens_.size())});
}

}  // namespace llm
