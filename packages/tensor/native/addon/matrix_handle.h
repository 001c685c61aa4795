// How bindings get at the matrix behind a JavaScript Matrix.
#pragma once

#include <napi.h>

#include <memory>

#include "kernels/matmul.h"
#include "memory/memory.h"

namespace llm {

struct MatrixHandle {
  Weight weight;
  // What weight.data points into; null once the matrix is disposed of. Copy it to keep the bytes.
  std::shared_ptr<Memory> memory;
};

// The value that src/matrix.ts passes to native calls: `matrix.handle`. Null, after throwing into JavaScript, if it is
// anything else or disposed of.
const MatrixHandle* UnwrapMatrixHandle(Napi::Value value);
const Weight* UnwrapMatrix(Napi::Value value);

}  // namespace llm
