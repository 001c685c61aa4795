// The matmul family: what one instruction set provides. kernels/matmul.h is the interface to the rest.
#pragma once

#include <cstdint>

#include "kernels/inline.h"
#include "packing/packed_layout.h"

namespace llm {

// std::min would be code that instruction sets share.
LLM_INLINE int Smaller(int a, int b) { return a < b ? a : b; }

// Rows (tokens) that one pass over a block serves; more rows are taken in equal chunks. 2 * 6 dot products and as many
// partial sums fit the 32 registers of AVX-512.
constexpr int kChunkRows = 6;

// How a kernel walks a block: K in segments, each inside one weight group and one activation span. Either a span is
// some whole groups (segment = group) or a group is some whole spans (segment = span). Only the last may be short.
struct SegmentPlan {
  int segments;
  int per_group;    // segments of a weight group
  int per_span;     // segments of an activation span
  int octets;       // of a segment
  int tail_octets;  // of the last segment
};

// A chunk of rows, quantized to int8 in -127..127, in the order in which the kernels read it.
struct PreparedRows {
  int rows;
  const int8_t* quants;           // [octet][rows][8]
  const int32_t* base;            // [segment][rows]: BaseFactor(format) * sum of the segment's quants
  const float* scale;             // [span][rows]
  const int16_t* wide = nullptr;  // what MatmulKernels::widen made of quants
  // While an octet of codes is read, `fetch_lines` lines from here on are fetched for later, and so on; or null.
  const uint8_t* fetch = nullptr;
  int fetch_lines = 0;
};

// What an integer accumulator starts from is a multiple of the sum of the activations: -8 for a constant zero point 8.
// Formats with zero points of their own multiply -sum, those with minima sum.
LLM_INLINE constexpr int BaseFactor(WeightFormat f) { return HasMinima(f) ? 1 : HasZeroPoints(f) ? -1 : -FixedZero(f); }

// Below this magnitude a span counts as zero: its inverse would overflow.
constexpr float kSmallestPeak = 0x1p-100f;

// Rows of one fp32 tile: 2 * 12 sums in 32 registers.
constexpr int kFloatChunkRows = 12;

// Values of k in one fp32 panel, at most.
constexpr int kPanelColumns = 256;

// Codes of a block, unpacked to bytes for some segments of K: [quad][32 columns][4], and what their groups share.
struct CodePanel {
  uint8_t* codes;
  float* scale;    // [group][32], from the group of segment_begin on; two-level formats that need it: the multiplier
  float* minimum;  // [group][32], formats with minima
  const float* column_scale;  // [32], two-level formats
  int segment_begin, segment_end;
  // Packed bytes of the next panel: `ahead_lines` of 64 are fetched into L2 while this one is multiplied.
  const uint8_t* ahead;
  int ahead_lines;
};

// Rows of x that a dense matrix is multiplied with in one pass, without a panel.
constexpr int kStreamRows = 8;

// out[r * ldo + c], r < rows, for 32 whole rows c of a dense matrix, from `row` on: the sums that a panel gives.
// `prepared` as for panels. [rows - 1]
using StreamKernel = void (*)(const void* row, int columns, const void* prepared, float* out, int64_t ldo);

struct MatmulKernels {
  // Quantizes x[rows][ldx], `columns` values each. A span with a NaN or an infinity gets quants 0 and a NaN scale.
  void (*quantize)(const float* x, int64_t ldx, int rows, int columns, const SegmentPlan& plan, int base_factor,
                   int8_t* quants, int32_t* base, float* scale);

  // out[r * ldo + c] for the 32 columns of a block: [format][rows - 1]. Per segment
  //   part = fma(float(dot), scale, part), and then part = fma(float(sum), minimum, part)
  // per span total = fma(part, activation scale, total), and last total * column scale in two-level formats.
  using RowsKernel = void (*)(const uint8_t* block, const SegmentPlan& plan, const PreparedRows& x, float* out,
                              int64_t ldo);
  RowsKernel rows[kPackedFormats][kChunkRows];

  // The same from a panel, continuing out unless segment_begin is 0. A null kernel
  // gains nothing; codes are then unpacked for tiles only (kernels/tile_kernels.h).
  using UnpackCodes = void (*)(const PackedLayout& layout, const SegmentPlan& plan, const uint8_t* block,
                               const CodePanel& panel);
  using PanelKernel = void (*)(const CodePanel& panel, const SegmentPlan& plan, const PreparedRows& x, float* out,
                               int64_t ldo);
  UnpackCodes unpack_codes[kPackedFormats];
  PanelKernel panel[kPackedFormats][kChunkRows];

  // panel[k][32] = weights k_begin <= k < k_end of a block as fp32: k_begin and k_end are multiples of 8 or the end.
  using UnpackPacked = void (*)(const PackedLayout& layout, const uint8_t* block, int k_begin, int k_end, float* panel);
  UnpackPacked unpack[kPackedFormats];

  // The same from row-major rows, of which `count` <= 32 exist; the others are 0. `row` points at k_begin.
  using UnpackDense = void (*)(const void* row, int64_t stride, int count, int columns, float* panel);
  UnpackDense unpack_dense[kFirstPacked];

  // out[r][c] = fma chain over k of x[k][r] * panel[k][c], continuing out unless `first`.
  void (*multiply_float)(const float* x, int rows, const float* panel, int columns, bool first, float* out,
                         int64_t ldo);

  StreamKernel stream[kFirstPacked][kStreamRows];  // null: panels alone

  // Quants as rows[format] multiplies them: as many 16-bit numbers, in its own order within each octet. A null
  // function: it reads the quants themselves.
  using WidenQuants = void (*)(const int8_t* quants, int64_t octets, int16_t* wide);
  WidenQuants widen[kPackedFormats] = {};
};

}  // namespace llm
