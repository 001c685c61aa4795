#include <cstring>

#include "addon/background.h"
#include "addon/bindings.h"
#include "addon/failure.h"
#include "addon/storage_handle.h"
#include "threads/pool.h"

namespace llm {
namespace {

constexpr napi_type_tag kStorageTag = {0x6c6c6d2e53746f72, 0x6167654e61746976};

// Sizes cross the border as doubles, which are exact up to here.
constexpr double kMaxSafeInteger = 9007199254740991;

// What the garbage collector should know about: allocated bytes, but no file pages, which the system takes back itself.
int64_t CountedBytes(const Memory& memory) {
  return memory.kind() == Memory::Kind::kAllocated ? static_cast<int64_t>(memory.size()) : 0;
}

void Release(Napi::Env env, StorageHandle* handle) {
  if (handle->memory == nullptr) return;
  Napi::MemoryManagement::AdjustExternalMemory(env, -CountedBytes(*handle->memory));
  handle->memory.reset();
}

// (byteLength): handle
Napi::Value AllocateStorage(const Napi::CallbackInfo& info) {
  const double size = info[0].ToNumber().UnwrapOr(Napi::Number()).DoubleValue();
  if (!(size >= 0 && size <= kMaxSafeInteger)) return Fail(info.Env(), "INVALID_ARGUMENT", "byteLength is no size");
  std::shared_ptr<Memory> memory;
  if (size <= static_cast<double>(SIZE_MAX / 2)) memory = AllocateMemory(static_cast<size_t>(size));
  if (memory == nullptr) return Fail(info.Env(), "OUT_OF_MEMORY", "the system refused memory", size);
  return WrapStorage(info.Env(), std::move(memory));
}

// (path): handle
Napi::Value MapStorage(const Napi::CallbackInfo& info) {
  std::string reason;
  std::shared_ptr<Memory> memory = MapFile(info[0].As<Napi::String>().Utf8Value(), &reason);
  if (memory == nullptr) return Fail(info.Env(), "FILE_ACCESS", reason);
  return WrapStorage(info.Env(), std::move(memory));
}

// (handle): number
Napi::Value StorageByteLength(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Memory> memory = CheckedBytes(info.Env(), info[0], 0, 0);
  if (memory == nullptr) return {};
  return Napi::Number::New(info.Env(), static_cast<double>(memory->size()));
}

// (handle, offset, target: Uint8Array)
Napi::Value ReadStorage(const Napi::CallbackInfo& info) {
  if (!info[2].IsTypedArray()) return Fail(info.Env(), "INVALID_ARGUMENT", "the target is no Uint8Array");
  auto target = info[2].As<Napi::Uint8Array>();
  const double offset = info[1].As<Napi::Number>().DoubleValue();
  const size_t size = target.ByteLength();
  const std::shared_ptr<Memory> memory = CheckedBytes(info.Env(), info[0], offset, static_cast<double>(size));
  if (memory == nullptr || size == 0) return {};
  std::memcpy(target.Data(), memory->data() + static_cast<size_t>(offset), size);
  return {};
}

// (handle, offset, bytes: Uint8Array)
Napi::Value WriteStorage(const Napi::CallbackInfo& info) {
  if (!info[2].IsTypedArray()) return Fail(info.Env(), "INVALID_ARGUMENT", "the bytes are no Uint8Array");
  const auto bytes = info[2].As<Napi::Uint8Array>();
  const double offset = info[1].As<Napi::Number>().DoubleValue();
  const size_t size = bytes.ByteLength();
  const std::shared_ptr<Memory> memory = CheckedBytes(info.Env(), info[0], offset, static_cast<double>(size));
  if (memory == nullptr) return {};
  if (!memory->writable()) return Fail(info.Env(), "INVALID_ARGUMENT", "a mapped file cannot be written to");
  if (size > 0) std::memcpy(memory->data() + static_cast<size_t>(offset), bytes.Data(), size);
  return {};
}

// (handle): has the system start reading the file
Napi::Value PrefetchStorage(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Memory> memory = CheckedBytes(info.Env(), info[0], 0, 0);
  if (memory != nullptr) PrefetchMemory(*memory, 0, memory->size());
  return {};
}

// (handle, offset, byteLength): promise of all these bytes being in memory
Napi::Value PopulateStorage(const Napi::CallbackInfo& info) {
  const double offset = info[1].As<Napi::Number>().DoubleValue(), size = info[2].As<Napi::Number>().DoubleValue();
  const std::shared_ptr<Memory> memory = CheckedBytes(info.Env(), info[0], offset, size);
  if (memory == nullptr) return {};

  struct Range {
    const Memory* memory;
    size_t offset, size;
  };
  const auto populate = [memory, offset, size]() -> TaskFailure {
    Range range{memory.get(), static_cast<size_t>(offset), static_cast<size_t>(size)};
    const Pool::Job job = [](void* context, int part, int parts) {
      const Range& all = *static_cast<const Range*>(context);
      constexpr size_t kChunk = size_t{16} << 20;
      for (size_t at = kChunk * part; at < all.size; at += kChunk * parts)
        PopulateMemory(*all.memory, all.offset + at, all.size - at < kChunk ? all.size - at : kChunk);
    };
    SharedPool().Run(job, &range);
    return {};
  };
  return RunInBackground(info.Env(), {}, populate);
}

// (handle): frees the bytes, once nobody else uses them
Napi::Value DisposeStorage(const Napi::CallbackInfo& info) {
  if (StorageHandle* const handle = UnwrapStorage(info[0])) Release(info.Env(), handle);
  return {};
}

}  // namespace

StorageHandle* UnwrapStorage(Napi::Value value) {
  if (!value.IsExternal()) return nullptr;
  const auto external = value.As<Napi::External<StorageHandle>>();
  return external.CheckTypeTag(&kStorageTag) ? external.Data() : nullptr;
}

Napi::Value WrapStorage(Napi::Env env, std::shared_ptr<Memory> memory) {
  const int64_t counted = CountedBytes(*memory);
  auto* const handle = new StorageHandle{std::move(memory)};
  const auto finalize = [](Napi::Env env, StorageHandle* handle) {
    Release(env, handle);
    delete handle;
  };
  const auto external = Napi::External<StorageHandle>::New(env, handle, finalize);
  external.TypeTag(&kStorageTag);
  Napi::MemoryManagement::AdjustExternalMemory(env, counted);
  return external;
}

std::shared_ptr<Memory> CheckedBytes(Napi::Env env, Napi::Value value, double offset, double size) {
  const StorageHandle* const handle = UnwrapStorage(value);
  if (handle == nullptr) {
    Fail(env, "INVALID_ARGUMENT", "this is no storage handle");
    return nullptr;
  }
  if (handle->memory == nullptr) {
    Fail(env, "DISPOSED", "storage");
    return nullptr;
  }
  // Doubles compare exactly here: both are whole and below 2^53.
  const auto total = static_cast<double>(handle->memory->size());
  if (!(offset >= 0 && size >= 0 && offset + size <= total) ||
      offset != static_cast<double>(static_cast<uint64_t>(offset))) {
    Fail(env, "INVALID_ARGUMENT",
         "offset and length are not inside a storage of " + std::to_string(handle->memory->size()) + " bytes");
    return nullptr;
  }
  return handle->memory;
}

#ifndef __wasm__
// (buffer): frees its memory now. JavaScript has a call of its own from V8 11.4 on, not yet in Node 20.
static Napi::Value DetachBuffer(const Napi::CallbackInfo& info) {
  if (!info[0].IsArrayBuffer()) return Fail(info.Env(), "INVALID_ARGUMENT", "this is no array buffer");
  info[0].As<Napi::ArrayBuffer>().Detach();
  return info.Env().Undefined();
}
#endif

void DefineStorage(Napi::Env env, Napi::Object exports) {
#ifndef __wasm__
  exports.Set("detachBuffer", Napi::Function::New(env, DetachBuffer, "detachBuffer"));
#endif
  exports.Set("allocateStorage", Napi::Function::New(env, AllocateStorage, "allocateStorage"));
  exports.Set("mapStorage", Napi::Function::New(env, MapStorage, "mapStorage"));
  exports.Set("storageByteLength", Napi::Function::New(env, StorageByteLength, "storageByteLength"));
  exports.Set("readStorage", Napi::Function::New(env, ReadStorage, "readStorage"));
  exports.Set("writeStorage", Napi::Function::New(env, WriteStorage, "writeStorage"));
  exports.Set("prefetchStorage", Napi::Function::New(env, PrefetchStorage, "prefetchStorage"));
  exports.Set("populateStorage", Napi::Function::New(env, PopulateStorage, "populateStorage"));
  exports.Set("disposeStorage", Napi::Function::New(env, DisposeStorage, "disposeStorage"));
}

}  // namespace llm
