#include "kernels/matmul_tiles-inl.h"
#include "kernels/tiles_amx-inl.h"
#include "targets/targets.h"

namespace llm {

const TileKernels kAmxTiles = kTileFunctions<AmxTiles>;

}  // namespace llm
