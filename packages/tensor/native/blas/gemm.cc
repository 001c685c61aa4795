// As in GotoBLAS (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008): slices of A and B
// are packed into panels that stay in the caches, and tiles of C are computed from one panel of each.
#include "blas/gemm.h"

#include <algorithm>
#include <atomic>

#include "kernels/blas_kernels.h"
#include "threads/pool.h"

namespace llm {
namespace {

// A slice of B's panel, depth x columns of a tile, is read from the second-level cache for every tile of C.
constexpr int kDepth = 256;
// Rows of A and columns of B packed at a time: 2 + 4 MiB of floats, in the last-level cache.
constexpr int kRowsAtOnce = 2048, kColumnsAtOnce = 4096;
// Tiles that one thread takes at a time, in each direction.
constexpr int kTilesAtOnce = 4;
// Below this many multiplications waking other threads costs more than they help.
constexpr int64_t kWorthwhile = int64_t{1} << 20;

template <typename T>
const GemmKernels<T>& KernelsOf(const BlasKernels& blas);
template <>
const GemmKernels<float>& KernelsOf(const BlasKernels& blas) {
  return blas.f32;
}
template <>
const GemmKernels<double>& KernelsOf(const BlasKernels& blas) {
  return blas.f64;
}

int CeilDivide(int a, int b) { return (a + b - 1) / b; }

template <typename T>
struct Work {
  const Product<T>* product;
  const GemmKernels<T>* kernels;
  T *packed_rows, *packed_columns;
  std::atomic<int> next[3];  // of the current, the next and the last slice in turn, so that each is reset in time
};

template <typename T>
void PackSlice(PackPanel<T> pack, int width, MatrixView<T> lanes, int begin, int end, int k_begin, int k, T* panels,
               int part, int parts) {
  const int count = CeilDivide(end - begin, width);
  for (int panel = part; panel < count; panel += parts) {
    const int lane = begin + panel * width;
    const T* const source = lanes.data + lane * lanes.row_stride + k_begin * lanes.column_stride;
    pack(source, lanes.row_stride, lanes.column_stride, std::min(width, end - lane), k,
         panels + int64_t{panel} * width * k);
  }
}

template <typename T>
void MultiplySlice(Work<T>& work, std::atomic<int>& next, int row_begin, int row_end, int column_begin, int column_end,
                   int k, T beta) {
  const Product<T>& product = *work.product;
  const GemmKernels<T>& kernels = *work.kernels;
  const int tile_rows = kernels.rows, tile_columns = kernels.columns;
  const int row_tiles = CeilDivide(row_end - row_begin, tile_rows);
  const int column_tiles = CeilDivide(column_end - column_begin, tile_columns);
  const int blocks_down = CeilDivide(row_tiles, kTilesAtOnce), blocks_across = CeilDivide(column_tiles, kTilesAtOnce);

  for (;;) {
    const int block = next.fetch_add(1, std::memory_order_relaxed);
    if (block >= blocks_down * blocks_across) return;
    const int row_tile = block / blocks_across * kTilesAtOnce, column_tile = block % blocks_across * kTilesAtOnce;
    for (int j = column_tile; j < std::min(column_tile + kTilesAtOnce, column_tiles); ++j) {
      const int column = column_begin + j * tile_columns;
      for (int i = row_tile; i < std::min(row_tile + kTilesAtOnce, row_tiles); ++i) {
        const int row = row_begin + i * tile_rows;
        const int rows = std::min(tile_rows, row_end - row);
        if (product.lower && column > row + rows - 1) continue;
        kernels.tile(k, work.packed_rows + int64_t{i} * tile_rows * k,
                     work.packed_columns + int64_t{j} * tile_columns * k, product.alpha, beta,
                     product.c + row * product.ldc + column, product.ldc, rows,
                     std::min(tile_columns, column_end - column));
      }
    }
  }
}

template <typename T>
void Part(void* context, int part, int parts) {
  Work<T>& work = *static_cast<Work<T>*>(context);
  const Product<T>& product = *work.product;
  int slice = 0;
  for (int column = 0; column < product.n; column += kColumnsAtOnce) {
    const int column_end = std::min(column + kColumnsAtOnce, product.n);
    for (int k_begin = 0; k_begin < product.k; k_begin += kDepth) {
      const int k = std::min(kDepth, product.k - k_begin);
      PackSlice(work.kernels->pack_columns, work.kernels->columns, product.b.Transposed(), column, column_end, k_begin,
                k, work.packed_columns, part, parts);
      for (int row = 0; row < product.m; row += kRowsAtOnce, ++slice) {
        const int row_end = std::min(row + kRowsAtOnce, product.m);
        PackSlice(work.kernels->pack_rows, work.kernels->rows, product.a, row, row_end, k_begin, k, work.packed_rows,
                  part, parts);
        // The last slice's counter is no longer read: everyone has passed the barrier after it.
        if (part == 0) work.next[(slice + 1) % 3].store(0, std::memory_order_relaxed);
        if (parts > 1) SharedPool().Barrier(part, parts);
        MultiplySlice(work, work.next[slice % 3], row, row_end, column, column_end, k,
                      k_begin == 0 ? product.beta : T{1});
        if (parts > 1) SharedPool().Barrier(part, parts);
      }
    }
  }
}

template <typename T>
void MirrorPart(T* c, int64_t ldc, int n, int part, int parts) {
  constexpr int kBlock = 32;
  const int blocks = CeilDivide(n, kBlock);
  for (int down = part; down < blocks; down += parts)
    for (int across = 0; across <= down; ++across)
      for (int i = down * kBlock; i < std::min((down + 1) * kBlock, n); ++i)
        for (int j = across * kBlock; j < std::min((across + 1) * kBlock, i); ++j) c[j * ldc + i] = c[i * ldc + j];
}

// Calls `run` with the work once there is memory for it.
template <typename T, typename Run>
bool WithWork(const KernelTable& table, Workspace& workspace, const Product<T>& product, const Run& run) {
  const GemmKernels<T>& kernels = KernelsOf<T>(*table.blas);
  const auto panels = [](int count, int at_once, int width) {
    return CeilDivide(std::min(count, at_once), width) * width;
  };
  const int depth = std::min(product.k, kDepth);
  const size_t rows = size_t(panels(product.m, kRowsAtOnce, kernels.rows)) * depth;
  const size_t columns = size_t(panels(product.n, kColumnsAtOnce, kernels.columns)) * depth;
  const size_t row_bytes = (rows * sizeof(T) + kMemoryAlignment - 1) / kMemoryAlignment * kMemoryAlignment;
  uint8_t* const memory = workspace.Reserve(row_bytes + columns * sizeof(T));
  if (memory == nullptr) return false;

  Work<T> work{&product, &kernels, reinterpret_cast<T*>(memory), reinterpret_cast<T*>(memory + row_bytes), {0, 0, 0}};
  run(work);
  return true;
}

}  // namespace

template <typename T>
bool Multiply(const KernelTable& table, Workspace& workspace, const Product<T>& product) {
  const bool alone = int64_t{product.m} * product.n * product.k < kWorthwhile;
  return WithWork(table, workspace, product,
                  [alone](Work<T>& work) { SharedPool().Run(Part<T>, &work, alone ? 1 : 0); });
}

template <typename T>
bool MultiplyHere(const KernelTable& table, Workspace& workspace, const Product<T>& product) {
  return WithWork(table, workspace, product, [](Work<T>& work) { Part<T>(&work, 0, 1); });
}

template <typename T>
void MirrorLower(T* c, int64_t ldc, int n) {
  struct Context {
    T* c;
    int64_t ldc;
    int n;
  } context{c, ldc, n};
  const Pool::Job job = [](void* data, int part, int parts) {
    const Context& it = *static_cast<const Context*>(data);
    MirrorPart(it.c, it.ldc, it.n, part, parts);
  };
  SharedPool().Run(job, &context, n < 256 ? 1 : 0);
}

template bool Multiply(const KernelTable&, Workspace&, const Product<float>&);
template bool Multiply(const KernelTable&, Workspace&, const Product<double>&);
template bool MultiplyHere(const KernelTable&, Workspace&, const Product<float>&);
template void MirrorLower(float*, int64_t, int);
template void MirrorLower(double*, int64_t, int);

}  // namespace llm
