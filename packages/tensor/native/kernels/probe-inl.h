// The probes, for a translation unit that defines ProbeLanes before it includes this:
//   Bytes           a vector register; Load(p), Or(a, b), Any(v): some word of it
//   Integers        four products of 8-bit numbers in each 32-bit lane: Dot(sum, a, b), kIntegerOperations of one.
//                   Where sums of 16 bits hold several such products, as the kernels use it: Pairs(a, b),
//                   AddPairs(a, b), Widen(sum, pairs), kFold of them in one sum, kFoldedSums sums side by side
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

// Sums of 16 bits, widened only when they are full: all that kernels for them have to do for a product.
template <typename Lanes>
double Int8Folded(int64_t rounds) {
  using Integers = typename Lanes::Integers;
  constexpr int kSums = Lanes::kFoldedSums;
  Integers sums[kSums] = {};
  Integers a = Lanes::Bytes1(3), b = Lanes::Bytes1(5);
#pragma GCC unroll 16
  for (Integers& sum : sums) Lanes::Hide(sum);
  for (int64_t round = 0; round < rounds; ++round) {
    Integers pairs[kSums];
#pragma GCC unroll 16
    for (int fold = 0; fold < Lanes::kFold; ++fold)
#pragma GCC unroll 16
      for (Integers& pair : pairs) {
        Lanes::Hide(a);
        pair = fold == 0 ? Lanes::Pairs(a, b) : Lanes::AddPairs(pair, Lanes::Pairs(a, b));
        Lanes::Hide(pair);
      }
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) sums[i] = Lanes::Widen(sums[i], pairs[i]);
  }
#pragma GCC unroll 16
  for (Integers& sum : sums) Lanes::Hide(sum);
  return static_cast<double>(rounds) * kSums * Lanes::kFold * Lanes::kIntegerOperations;
}

template <typename Lanes>
double Int8(int64_t rounds) {
  using Integers = typename Lanes::Integers;
  Integers sums[Lanes::kAccumulators] = {};
  const Integers a = Lanes::Bytes1(3), b = Lanes::Bytes1(5);
#pragma GCC unroll 32
  for (Integers& sum : sums) Lanes::Hide(sum);  // else all are known to be equal, and become one
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 32
    for (Integers& sum : sums) sum = Lanes::Dot(sum, a, b);
  }
#pragma GCC unroll 32
  for (Integers& sum : sums) Lanes::Hide(sum);
  return static_cast<double>(rounds) * Lanes::kAccumulators * Lanes::kIntegerOperations;
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
  ProbeKernels kernels = {Read, nullptr, F32, nullptr};
  if constexpr (requires { Lanes::kFold; })
    kernels.int8 = Int8Folded<Lanes>;
  else
    kernels.int8 = Int8<Lanes>;
  if constexpr (requires { typename Lanes::Halves; }) kernels.bf16 = Bf16<Lanes>;
  return kernels;
}

constexpr ProbeKernels kProbeKernels = Kernels<ProbeLanes>();

}  // namespace
}  // namespace llm
