// The probes, for a translation unit that defines ProbeLanes before it includes this:
//   Bytes           a vector register; Load(p), Or(a, b), Any(v): some word of it
//   Integers        four products of 8-bit numbers in each 32-bit lane: Dot(sum, a, b), kIntegerOperations of one
//   Floats          Fma(a, b, sum), kFloatOperations of one
//   Halves          optional: two products of bfloat16 numbers in each lane of Floats: DotHalves(sum, a, b), Halves1()
//   kAccumulators   enough for latency times throughput, few enough for the register file
//   Bytes1(x), Floats1(x)   registers full of one number
//   Hide(v)         makes the compiler forget what it knows about a value. Dot and Fma of constants need it where they
//   are
//                   more than one instruction that starts from the sum: the rest would be done once
#pragma once

#include "kernels/inline.h"
#include "kernels/probe_kernels.h"

namespace llm {
namespace {

constexpr int kLineBytes = 64;

template <int streams>
uint32_t ReadStreams(const uint8_t* data, size_t size, int ahead) {
  using Bytes = ProbeLanes::Bytes;
  constexpr int kVectors = kLineBytes / static_cast<int>(sizeof(Bytes));
  const size_t region = size / streams;
  Bytes sums[streams][kVectors] = {};
  for (size_t at = 0; at < region; at += kLineBytes) {
#pragma GCC unroll 4
    for (int stream = 0; stream < streams; ++stream) {
      const uint8_t* const line = data + stream * region + at;
      if (ahead != 0) __builtin_prefetch(line + ahead);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        sums[stream][v] = ProbeLanes::Or(sums[stream][v], ProbeLanes::Load(line + v * sizeof(Bytes)));
    }
  }
  uint32_t any = 0;
  for (auto& stream : sums)
    for (Bytes& sum : stream) any |= ProbeLanes::Any(sum);
  return any;
}

uint32_t Read(const uint8_t* data, size_t size, int streams, int ahead) {
  if (streams == 4) return ReadStreams<4>(data, size, ahead);
  if (streams == 2) return ReadStreams<2>(data, size, ahead);
  return ReadStreams<1>(data, size, ahead);
}

double Int8(int64_t rounds) {
  using Integers = ProbeLanes::Integers;
  Integers sums[ProbeLanes::kAccumulators] = {};
  const Integers a = ProbeLanes::Bytes1(3), b = ProbeLanes::Bytes1(5);
#pragma GCC unroll 32
  for (Integers& sum : sums) ProbeLanes::Hide(sum);  // else all are known to be equal, and become one
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 32
    for (Integers& sum : sums) sum = ProbeLanes::Dot(sum, a, b);
  }
#pragma GCC unroll 32
  for (Integers& sum : sums) ProbeLanes::Hide(sum);
  return static_cast<double>(rounds) * ProbeLanes::kAccumulators * ProbeLanes::kIntegerOperations;
}

double F32(int64_t rounds) {
  using Floats = ProbeLanes::Floats;
  Floats sums[ProbeLanes::kAccumulators] = {};
  const Floats a = ProbeLanes::Floats1(0.5f), b = ProbeLanes::Floats1(0.25f);
#pragma GCC unroll 32
  for (Floats& sum : sums) ProbeLanes::Hide(sum);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 32
    for (Floats& sum : sums) sum = ProbeLanes::Fma(a, b, sum);
  }
#pragma GCC unroll 32
  for (Floats& sum : sums) ProbeLanes::Hide(sum);
  return static_cast<double>(rounds) * ProbeLanes::kAccumulators * ProbeLanes::kFloatOperations;
}

template <typename Lanes>
double Bf16(int64_t rounds) {
  using Floats = typename Lanes::Floats;
  Floats sums[Lanes::kAccumulators] = {};
  const typename Lanes::Halves a = Lanes::Halves1();
#pragma GCC unroll 32
  for (Floats& sum : sums) Lanes::Hide(sum);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 32
    for (Floats& sum : sums) sum = Lanes::DotHalves(sum, a, a);
  }
#pragma GCC unroll 32
  for (Floats& sum : sums) Lanes::Hide(sum);
  return static_cast<double>(rounds) * Lanes::kAccumulators * 2 * Lanes::kFloatOperations;
}

template <typename Lanes>
constexpr ProbeKernels Kernels() {
  if constexpr (requires { typename Lanes::Halves; })
    return {Read, Int8, F32, Bf16<Lanes>};
  else
    return {Read, Int8, F32, nullptr};
}

constexpr ProbeKernels kProbeKernels = Kernels<ProbeLanes>();

}  // namespace
}  // namespace llm
