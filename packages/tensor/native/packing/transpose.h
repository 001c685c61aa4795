// Dense matrices turned around.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace llm {

// Rows [row_begin, row_end) of a matrix [rows][columns] whose source is [columns][rows], at any address.
template <class T>
void TransposeRows(const uint8_t* from, int64_t rows, int64_t columns, int64_t row_begin, int64_t row_end, T* to) {
  constexpr int64_t kTile = 32;  // so that lines of both sides stay in the cache
  for (int64_t row = row_begin; row < row_end; row += kTile) {
    const int64_t last_row = std::min(row + kTile, row_end);
    for (int64_t k = 0; k < columns; k += kTile) {
      const int64_t last = std::min(k + kTile, columns);
      for (int64_t r = row; r < last_row; ++r)
        for (int64_t j = k; j < last; ++j)
          std::memcpy(to + r * columns + j, from + sizeof(T) * static_cast<size_t>(j * rows + r), sizeof(T));
    }
  }
}

}  // namespace llm
