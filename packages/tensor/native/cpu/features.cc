#include "cpu/features.h"

#if defined(__x86_64__)
#include <cpuid.h>

#include <cstdint>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#if defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace llm {
namespace {

constexpr FeatureName kNames[] = {
    {"avx2", &CpuFeatures::avx2},
    {"avx_vnni", &CpuFeatures::avx_vnni},
    {"avx512f", &CpuFeatures::avx512f},
    {"avx512_vnni", &CpuFeatures::avx512_vnni},
    {"avx512_bf16", &CpuFeatures::avx512_bf16},
    {"avx512_fp16", &CpuFeatures::avx512_fp16},
    {"amx", &CpuFeatures::amx},
    {"neon_i8mm", &CpuFeatures::neon_i8mm},
    {"neon_dotprod", &CpuFeatures::neon_dotprod},
    {"wasm_relaxed", &CpuFeatures::wasm_relaxed},
};

#if defined(__x86_64__)

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers Cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);  // stays zero for a leaf the CPU lacks
  return r;
}

// The register sets that the operating system saves on a context switch.
uint64_t SavedRegisters(const Registers& leaf1) {
  constexpr uint32_t kOsxsave = 1u << 27;
  if ((leaf1.ecx & kOsxsave) == 0) return 0;
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

// Linux gives a process the 8 KiB of tile registers only on request, before its first tile instruction.
bool RequestTiles() {
#if defined(__linux__)
  constexpr int kArchReqXcompPerm = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kArchReqXcompPerm, kTileData) == 0;
#else
  return false;
#endif
}

CpuFeatures Detect() {
  const auto all = [](uint64_t value, uint64_t bits) { return (value & bits) == bits; };
  const auto bit = [](int index) { return uint64_t{1} << index; };

  const Registers leaf1 = Cpuid(1, 0), leaf7 = Cpuid(7, 0), leaf7_1 = Cpuid(7, 1);
  const uint64_t saved = SavedRegisters(leaf1);
  const bool ymm = all(saved, bit(1) | bit(2));
  const bool zmm = ymm && all(saved, bit(5) | bit(6) | bit(7));
  const bool tiles = all(saved, bit(17) | bit(18));

  // Each bit is asked for: hypervisors hide arbitrary ones.
  CpuFeatures cpu;
  cpu.avx2 = ymm && all(leaf7.ebx, bit(5) | bit(8)) && all(leaf1.ecx, bit(12) | bit(29));
  cpu.avx_vnni = cpu.avx2 && all(leaf7_1.eax, bit(4));
  cpu.avx512f = cpu.avx2 && zmm && all(leaf7.ebx, bit(16) | bit(17) | bit(28) | bit(30) | bit(31));
  cpu.avx512_vnni = cpu.avx512f && all(leaf7.ecx, bit(11));
  cpu.avx512_bf16 = cpu.avx512_vnni && all(leaf7_1.eax, bit(5));
  cpu.avx512_fp16 = cpu.avx512_bf16 && all(leaf7.edx, bit(23));
  cpu.amx = cpu.avx512_bf16 && tiles && all(leaf7.edx, bit(22) | bit(24) | bit(25)) && RequestTiles();
  cpu.amx_with_fp16 = cpu.amx && cpu.avx512_fp16;
  return cpu;
}

#elif defined(__aarch64__)

CpuFeatures Detect() {
  CpuFeatures cpu;
#if defined(__linux__)
  cpu.neon_dotprod = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
  cpu.neon_i8mm = cpu.neon_dotprod && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
#elif defined(__APPLE__)
  cpu.neon_dotprod = true;  // of every Mac with such a CPU
  int has = 0;
  size_t size = sizeof has;
  cpu.neon_i8mm = sysctlbyname("hw.optional.arm.FEAT_I8MM", &has, &size, nullptr, 0) == 0 && has != 0;
#endif
  return cpu;
}

#elif defined(LLM_WASM_RELAXED)

CpuFeatures Detect() {
  CpuFeatures cpu;
  cpu.wasm_relaxed = RelaxedSimdIsExact();
  return cpu;
}

#else

// A WebAssembly engine without SIMD refuses the module: nothing to ask.
CpuFeatures Detect() { return {}; }

#endif

}  // namespace

std::span<const FeatureName> FeatureNames() { return kNames; }

const CpuFeatures& HostCpu() {
  static const CpuFeatures cpu = Detect();
  return cpu;
}

}  // namespace llm
