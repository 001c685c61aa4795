// Products in tile registers (AMX): 32 rows x 32 columns at once. A family that only some tables have; kernels/matmul.h
// is the interface.
#pragma once

#include "kernels/matmul_kernels.h"

namespace llm {

constexpr int kTileRows = 32;   // of x in one step; fewer are padded
constexpr int kTilePiece = 64;  // bytes of k in a whole tile

// Quantized rows, each with its bases and scales behind its quants.
struct TileRows {
  const uint8_t* first;
  int64_t row_bytes;
  int rows;  // <= kTileRows
  int64_t octets, segments;

  const int8_t* Quants(int r) const { return reinterpret_cast<const int8_t*>(first + r * row_bytes); }
  const int32_t* Bases(int r) const {
    return reinterpret_cast<const int32_t*>(first + r * row_bytes + octets * kOctet);
  }
  const float* Scales(int r) const { return reinterpret_cast<const float*>(Bases(r) + segments); }
};

// What the bytes of a CodePanel mean: the same arithmetic as the other int8 kernels, bit for bit.
struct TileFormat {
  int base_factor;  // of the prepared bases: the bytes' zero point takes part so often
  bool scaled;      // panel.scale counts; otherwise it is 1
  bool minima;
  bool two_level;
};

struct TileKernels {
  void (*multiply_int8)(const CodePanel& panel, const TileFormat& format, const SegmentPlan& plan, const TileRows& x,
                        float* out, int64_t ldo);

  // Rows of bf16, each `stride` long with zeros behind `columns`.
  void (*pack_bf16)(const float* x, int64_t ldx, int rows, int columns, int64_t stride, uint16_t* to);
  // to[pair of k][32][2], zeros up to a multiple of 32 values of k, from panel[columns][32].
  void (*round_panel)(const float* panel, int columns, uint16_t* to);
  void (*multiply_bf16)(const uint16_t* x, int64_t stride, int rows, const uint16_t* panel, int columns, bool first,
                        float* out, int64_t ldo);
};

}  // namespace llm
