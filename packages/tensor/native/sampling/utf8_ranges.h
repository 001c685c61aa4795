// Ranges of characters as sequences of byte ranges of their UTF-8 forms.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace llm {

constexpr uint32_t kLastCharacter = 0x10FFFF;

struct CharacterRange {
  uint32_t first, last;
};

struct ByteRange {
  uint8_t low, high;
};

// The character that text begins with, and its bytes; 0 if that is not UTF-8.
inline size_t DecodeUtf8(std::string_view text, uint32_t* character) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0u; };
  const uint32_t lead = byte(0);
  if (lead < 0x80) {
    *character = lead;
    return text.empty() ? 0 : 1;
  }
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  uint32_t value = lead & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    value = value << 6 | (byte(i) & 0x3F);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < kLeast[length] || value > kLastCharacter || (value >= 0xD800 && value <= 0xDFFF)) return 0;
  *character = value;
  return length;
}

// Every character that is in none of the ranges.
inline std::vector<CharacterRange> Complement(std::vector<CharacterRange> ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const CharacterRange& a, const CharacterRange& b) { return a.first < b.first; });
  std::vector<CharacterRange> result;
  uint32_t next = 0;
  for (const CharacterRange& range : ranges) {
    if (range.first > next) result.push_back({next, range.first - 1});
    next = std::max(next, range.last + 1);
  }
  if (next <= kLastCharacter) result.push_back({next, kLastCharacter});
  return result;
}

// Calls work with one to four byte ranges whose products are, together, the range without surrogates. A range is cut
// where its length in bytes changes, and where leading bytes differ while trailing ones are not complete.
template <class Work>
void ForEachUtf8Sequence(CharacterRange range, Work work) {
  if (range.first > range.last) return;
  constexpr CharacterRange kParts[] = {
      {0, 0x7F}, {0x80, 0x7FF}, {0x800, 0xD7FF}, {0xE000, 0xFFFF}, {0x10000, kLastCharacter}};
  for (const CharacterRange& part : kParts) {
    uint32_t first = std::max(range.first, part.first);
    const uint32_t last = std::min(range.last, part.last);
    const int length = part.first == 0 ? 1 : part.first == 0x80 ? 2 : part.first == 0x10000 ? 4 : 3;
    while (first <= last) {
      // The longest stretch from `first` in which every byte but one is fixed or complete.
      uint32_t stop = last;
      for (int bits = 6; bits < 6 * length; bits += 6) {
        const uint32_t low = (1u << bits) - 1;
        if ((first & ~low) == (last & ~low)) break;
        if ((first & low) != 0) {
          stop = first | low;
          break;
        }
        if ((last & low) != low) stop = std::min(stop, (last & ~low) - 1);
      }
      ByteRange bytes[4];
      for (int i = length - 1; i >= 0; --i) {
        const int shift = 6 * (length - 1 - i);
        constexpr uint32_t kLead[] = {0, 0, 0xC0, 0xE0, 0xF0};
        const uint32_t mark = i > 0 ? 0x80 : kLead[length], mask = i > 0 ? 0x3F : 0xFF;
        bytes[i] = {static_cast<uint8_t>(mark | (first >> shift & mask)),
                    static_cast<uint8_t>(mark | (stop >> shift & mask))};
      }
      work(std::span<const ByteRange>(bytes, static_cast<size_t>(length)));
      first = stop + 1;
    }
  }
}

}  // namespace llm
