// How bindings get at the bytes behind a JavaScript Storage.
#pragma once

#include <napi.h>

#include <memory>

#include "memory/memory.h"

namespace llm {

struct StorageHandle {
  // Null once the storage is disposed of. Copy it to keep the bytes.
  std::shared_ptr<Memory> memory;
};

// The value that src/storage.ts passes to native calls: `storage.handle`. Null if it is anything else; throws nothing.
StorageHandle* UnwrapStorage(Napi::Value value);

// A new handle, owned by JavaScript.
Napi::Value WrapStorage(Napi::Env env, std::shared_ptr<Memory> memory);

// The bytes [offset, offset + size) of a live storage, or null after throwing into JavaScript.
std::shared_ptr<Memory> CheckedBytes(Napi::Env env, Napi::Value handle, double offset, double size);

}  // namespace llm
