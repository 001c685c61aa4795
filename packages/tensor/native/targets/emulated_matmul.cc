#include "kernels/matmul_tiles-inl.h"
#include "kernels/tiles_emulated-inl.h"
#include "targets/targets.h"

namespace llm {

const TileKernels kEmulatedTiles = kTileFunctions<EmulatedTiles>;

}  // namespace llm
