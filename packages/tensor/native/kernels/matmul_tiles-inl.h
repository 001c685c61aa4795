// Products in tile registers, over a policy: tiles_amx-inl.h has the instructions, tiles_emulated-inl.h does the same
// in plain code, for tests on machines without them.
//
// Tiles 0..3 hold the sums of 2 x 2 blocks of 16 x 16, tiles 4 and 5 the rows of x, tiles 6 and 7 the weights: every
// operand that is loaded is used twice. The lines of a panel are rows of weight tiles as they are: 16 columns x 4 bytes
// of k, or 16 columns x 2 bf16 of k.
#include <cmath>
#include <cstring>

#include "kernels/half.h"
#include "kernels/tile_kernels.h"

namespace llm {
namespace {

constexpr int kPanelLine = 2 * kLine;  // from one row of a weight tile to the next

// One step along k. `x` is the first of 32 rows.
template <class Tiles, bool bf16>
LLM_INLINE void TileStep(const void* x, int64_t stride, const void* weights) {
  Tiles::template Load<4>(x, stride);
  Tiles::template Load<5>(static_cast<const uint8_t*>(x) + 16 * stride, stride);
  Tiles::template Load<6>(weights, kPanelLine);
  Tiles::template Load<7>(static_cast<const uint8_t*>(weights) + kLine, kPanelLine);
  Tiles::template Dot<bf16, 0, 4, 6>();
  Tiles::template Dot<bf16, 1, 4, 7>();
  Tiles::template Dot<bf16, 2, 5, 6>();
  Tiles::template Dot<bf16, 3, 5, 7>();
}

template <class Tiles>
LLM_INLINE void ZeroSums() {
  Tiles::template Zero<0>();
  Tiles::template Zero<1>();
  Tiles::template Zero<2>();
  Tiles::template Zero<3>();
}

// sums[32][32] of 4 bytes each.
template <class Tiles>
LLM_INLINE void StoreSums(void* sums) {
  auto* const to = static_cast<uint8_t*>(sums);
  Tiles::template Store<0>(to, kPanelLine);
  Tiles::template Store<1>(to + kLine, kPanelLine);
  Tiles::template Store<2>(to + 16 * kPanelLine, kPanelLine);
  Tiles::template Store<3>(to + 16 * kPanelLine + kLine, kPanelLine);
}

// The largest piece of k that segments consist of, so that none ends inside a tile.
LLM_INLINE int PieceBytes(int segment_bytes) {
  int piece = kTilePiece;
  while (segment_bytes % piece != 0) piece /= 2;
  return piece;
}

template <class Tiles>
void MultiplyInt8Tiles(const CodePanel& panel, const TileFormat& format, const SegmentPlan& plan, const TileRows& x,
                       float* out, int64_t ldo) {
  const int piece = PieceBytes(plan.octets * kOctet);
  Tiles::Configure(piece);
  alignas(64) int32_t dots[kTileRows][kBlockRows];
  alignas(64) float part[kTileRows][kBlockRows];
  alignas(64) int8_t copy[kTileRows * kTilePiece];
  const uint8_t* codes = panel.codes;
  const int first_group = panel.segment_begin / plan.per_group;
  for (int s = panel.segment_begin; s < panel.segment_end;) {
    const int span = s / plan.per_span;
    const int end = s + plan.per_span < panel.segment_end ? s + plan.per_span : panel.segment_end;
    std::memset(part, 0, sizeof part);
    for (; s < end; ++s) {
      const int bytes = (s == plan.segments - 1 ? plan.tail_octets : plan.octets) * kOctet;
      const int64_t k = int64_t{s} * plan.octets * kOctet;
      ZeroSums<Tiles>();
      for (int at = 0; at < bytes; at += piece) {
        const uint8_t* const weights = codes + at / 4 * kPanelLine;
        if (x.rows == kTileRows && at + piece <= bytes) {
          TileStep<Tiles, false>(x.Quants(0) + k + at, x.row_bytes, weights);
          continue;
        }
        // Zeros in x, so that it does not matter what the tile of weights has beyond the end.
        const int count = bytes - at < piece ? bytes - at : piece;
        std::memset(copy, 0, sizeof copy);
        for (int r = 0; r < x.rows; ++r) std::memcpy(copy + r * kTilePiece, x.Quants(r) + k + at, count);
        TileStep<Tiles, false>(copy, kTilePiece, weights);
      }
      codes += bytes / 4 * kPanelLine;
      StoreSums<Tiles>(dots);
      const int64_t group = int64_t{s / plan.per_group - first_group} * kBlockRows;
      for (int r = 0; r < x.rows; ++r) {
        const int32_t base = x.Bases(r)[s], start = base * format.base_factor;
        for (int c = 0; c < kBlockRows; ++c) {
          const float scale = format.scaled ? panel.scale[group + c] : 1.0f;
          part[r][c] = __builtin_fmaf(static_cast<float>(dots[r][c] + start), scale, part[r][c]);
        }
        if (format.minima)
          for (int c = 0; c < kBlockRows; ++c)
            part[r][c] = __builtin_fmaf(static_cast<float>(base), panel.minimum[group + c], part[r][c]);
      }
    }
    for (int r = 0; r < x.rows; ++r) {
      float* const to = out + r * ldo;
      const float scale = x.Scales(r)[span];
      for (int c = 0; c < kBlockRows; ++c) to[c] = __builtin_fmaf(part[r][c], scale, span == 0 ? 0.0f : to[c]);
      if (format.two_level && s == plan.segments)
        for (int c = 0; c < kBlockRows; ++c) to[c] *= panel.column_scale[c];
    }
  }
  Tiles::Release();
}

void PackBf16Rows(const float* x, int64_t ldx, int rows, int columns, int64_t stride, uint16_t* to) {
  for (int r = 0; r < rows; ++r) {
    for (int k = 0; k < columns; ++k) to[r * stride + k] = FloatToBf16(x[r * ldx + k]);
    for (int64_t k = columns; k < stride; ++k) to[r * stride + k] = 0;
  }
}

void RoundTilePanel(const float* panel, int columns, uint16_t* to) {
  constexpr int kStep = kTilePiece / 2;
  const int padded = (columns + kStep - 1) / kStep * kStep;
  for (int k = 0; k < padded; ++k)
    for (int c = 0; c < kBlockRows; ++c)
      to[(k / 2 * kBlockRows + c) * 2 + k % 2] = k < columns ? FloatToBf16(panel[k * kBlockRows + c]) : uint16_t{0};
}

template <class Tiles>
void MultiplyBf16Tiles(const uint16_t* x, int64_t stride, int rows, const uint16_t* panel, int columns, bool first,
                       float* out, int64_t ldo) {
  constexpr int kStep = kTilePiece / 2;
  Tiles::Configure(kTilePiece);
  alignas(64) float sums[kTileRows][kBlockRows] = {};
  alignas(64) uint16_t copy[kTileRows * kStep] = {};
  for (int r = 0; !first && r < rows; ++r) std::memcpy(sums[r], out + r * ldo, sizeof sums[r]);
  Tiles::template Load<0>(sums, kPanelLine);
  Tiles::template Load<1>(&sums[0][16], kPanelLine);
  Tiles::template Load<2>(sums[16], kPanelLine);
  Tiles::template Load<3>(&sums[16][16], kPanelLine);
  for (int k = 0; k < columns; k += kStep) {
    const uint16_t* const weights = panel + k * kBlockRows;
    if (rows == kTileRows) {
      TileStep<Tiles, true>(x + k, stride * 2, weights);
    } else {
      for (int r = 0; r < rows; ++r) std::memcpy(copy + r * kStep, x + r * stride + k, kTilePiece);
      TileStep<Tiles, true>(copy, kTilePiece, weights);
    }
  }
  StoreSums<Tiles>(sums);
  for (int r = 0; r < rows; ++r) std::memcpy(out + r * ldo, sums[r], sizeof sums[r]);
  Tiles::Release();
}

template <class Tiles>
constexpr TileKernels kTileFunctions = {MultiplyInt8Tiles<Tiles>, PackBf16Rows, RoundTilePanel,
                                        MultiplyBf16Tiles<Tiles>};

}  // namespace
}  // namespace llm
