#include "probe/probe.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <vector>

#include "kernels/probe_kernels.h"
#include "memory/memory.h"
#include "threads/pool.h"

namespace llm {
namespace {

using Clock = std::chrono::steady_clock;

// From when the last part begins to when the last part ends.
struct Span {
  Clock::time_point begin, end;
};

double Seconds(const std::vector<Span>& spans) {
  Clock::time_point begin = spans[0].begin, end = spans[0].end;
  for (const Span& span : spans) {
    begin = std::min(begin, span.begin);
    end = std::max(end, span.end);
  }
  return std::chrono::duration<double>(end - begin).count();
}

// Streams and how far ahead to fetch. Which one a memory likes best differs.
struct ReadWay {
  int streams, ahead;
};
constexpr ReadWay kReadWays[] = {{1, 0}, {2, 0}, {4, 0}, {1, 1024}, {2, 1024}, {4, 1024}};
constexpr int kPasses = 5;

struct Reading {
  const ProbeKernels* kernels;
  uint8_t* data;
  size_t part_size;  // bytes of one part
  ReadWay way;
  std::vector<Span> spans;
  std::atomic<uint32_t> seen{0};
};

constexpr int kWarmRounds = 2;  // that find out how many operations take their time

struct Computing {
  double (*loop)(int64_t rounds);
  int64_t rounds;
  std::vector<Span> spans;
  std::atomic<double> operations{0};
};

}  // namespace

double MeasureReadBandwidth(const KernelTable& table, int parts, size_t size) {
  constexpr size_t kUnit = kReadUnit * 4;  // whole units for four streams
  const size_t part_size = std::max(size / parts / kUnit, size_t{1}) * kUnit;
  const std::shared_ptr<Memory> memory = AllocateMemory(part_size * parts);
  if (memory == nullptr) return 0;
  Reading reading{table.probe, memory->data(), part_size, kReadWays[0], std::vector<Span>(parts), {}};

  // Each part touches its own memory first, so that it is near on machines where that matters. Not zeros: a page that
  // was only ever read may be one shared page of zeros.
  const Pool::Job touch = [](void* context, int part, int) {
    const Reading& it = *static_cast<const Reading*>(context);
    std::fill_n(it.data + part * it.part_size, it.part_size, static_cast<uint8_t>(part + 1));
  };
  SharedPool().Run(touch, &reading, parts);

  const Pool::Job read = [](void* context, int part, int count) {
    Reading& it = *static_cast<Reading*>(context);
    SharedPool().Barrier(part, count);
    it.spans[part].begin = Clock::now();
    const uint32_t seen = it.kernels->read(it.data + part * it.part_size, it.part_size, it.way.streams, it.way.ahead);
    it.spans[part].end = Clock::now();
    it.seen.fetch_or(seen, std::memory_order_relaxed);
  };
  // By turns, so that a disturbance does not meet the same one twice.
  constexpr int kWays = std::size(kReadWays);
  double rates[kWays][kPasses];
  for (int pass = 0; pass < kPasses; ++pass) {
    for (int i = 0; i < kWays; ++i) {
      reading.way = kReadWays[i];
      SharedPool().Run(read, &reading, parts);
      rates[i][pass] = static_cast<double>(part_size) * parts / Seconds(reading.spans);
    }
  }
  double best = 0;
  for (auto& way : rates) {
    std::nth_element(way, way + kPasses / 2, way + kPasses);
    best = std::max(best, way[kPasses / 2]);
  }
  return best;
}

double MeasurePeak(const KernelTable& table, PeakKind kind, int parts) {
  const ProbeKernels& kernels = *table.probe;
  const auto loop = kind == PeakKind::kInt8 ? kernels.int8 : kind == PeakKind::kF32 ? kernels.f32 : kernels.bf16;
  if (loop == nullptr) return 0;
  Computing computing{loop, 100'000, std::vector<Span>(parts), {}};
  const Pool::Job compute = [](void* context, int part, int count) {
    Computing& it = *static_cast<Computing*>(context);
    SharedPool().Barrier(part, count);
    it.spans[part].begin = Clock::now();
    const double operations = it.loop(it.rounds);
    it.spans[part].end = Clock::now();
    it.operations.fetch_add(operations, std::memory_order_relaxed);
  };
  // Long enough to hold the pauses that a shared machine makes, as what is compared with it does.
  constexpr int kRounds = 9;
  constexpr double kSeconds = 0.04;
  double rates[kRounds];
  for (int round = -kWarmRounds; round < kRounds; ++round) {
    computing.operations = 0;
    SharedPool().Run(compute, &computing, parts);
    const double seconds = Seconds(computing.spans);
    if (round >= 0) rates[round] = computing.operations / seconds;
    computing.rounds =
        std::max<int64_t>(1, static_cast<int64_t>(computing.rounds * std::clamp(kSeconds / seconds, 0.1, 10.0)));
  }
  std::nth_element(rates, rates + kRounds / 2, rates + kRounds);
  return rates[kRounds / 2];
}

}  // namespace llm
