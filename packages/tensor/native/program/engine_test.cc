// Stress of the engine: what a thread sanitizer has to see, and what must never leak or hang.
#include "program/engine.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <random>
#include <thread>

#include "cpu/features.h"
#include "kernels/select.h"
#include "testing/check.h"

namespace llm {
namespace {

constexpr int kWidth = 32, kVocabulary = 64, kBlocks = 12;

Table RandomTable(int rows, int columns, std::mt19937& random) {
  Table table;
  table.memory = AllocateMemory(sizeof(float) * static_cast<size_t>(rows) * columns);
  std::uniform_real_distribution<float> uniform(-0.3f, 0.3f);
  auto* const values = reinterpret_cast<float*>(table.memory->data());
  for (int i = 0; i < rows * columns; ++i) values[i] = uniform(random);
  table.weight = {WeightFormat::kF32, rows, columns, 0, table.memory->data()};
  return table;
}

// One layer with two heads on one KV head, a sum and a norm before a linear, a linear that another joins, and a head:
// every kind of stage.
std::unique_ptr<Program> SmallProgram() {
  std::mt19937 random(1);
  auto program = std::make_unique<Program>();
  Program& p = *program;
  p.max_tokens = 16;
  p.vocabulary = kVocabulary;
  p.row_floats = 9 * kWidth + kVocabulary;
  p.buffers = {{"x", kWidth, 0, false},
               {"qkv", 2 * kWidth, kWidth, false},
               {"attended", kWidth, 3 * kWidth, false},
               {"projected", kWidth, 4 * kWidth, false},
               {"sum", kWidth, 5 * kWidth, false},
               {"up", kWidth, 6 * kWidth, false},
               {"beside", kWidth, 7 * kWidth, false},
               {"last", kWidth, 8 * kWidth, true},
               {"logits", kVocabulary, 9 * kWidth, true}};
  p.logits = 8;
  p.hidden = 7;
  p.layers = 1;
  p.kv_heads = 1;
  p.cache = {KvType::kF32, 64, kWidth / 2, kWidth / 2};
  p.blocks = kBlocks;

  Instruction embed;
  embed.op = Op::kEmbed;
  embed.name = "embed";
  embed.table = RandomTable(kVocabulary, kWidth, random);

  const auto linear = [&](const char* name, int in, int out, int rows, Epilogue epilogue) {
    Instruction ins;
    ins.op = Op::kLinear;
    ins.name = name;
    ins.in = in;
    ins.compute = Compute::kF32;
    ins.parts.push_back({name, RandomTable(rows, kWidth, random), {}, {out, 0, 0}});
    ins.epilogue = epilogue;
    return ins;
  };
  Instruction qkv = linear("qkv", 0, 1, 2 * kWidth, Epilogue::kNone);
  qkv.norm = {NormKind::kRms, std::vector<float>(kWidth, 1.0f), {}, 1e-5f};
  Instruction attention;
  attention.op = Op::kAttention;
  attention.name = "attention";
  attention.heads = 2;
  attention.kv_heads = 1;
  attention.q = {1, 0, kWidth / 2};
  attention.k = {1, kWidth, 0};
  attention.v = {1, kWidth + kWidth / 2, 0};
  attention.o = {2, 0, kWidth / 2};
  attention.factor = 0.25f;
  Instruction up = linear("up", 3, 5, kWidth, Epilogue::kActivation);
  up.sum_norm = up.norm = qkv.norm;
  up.sum_residual = 0;
  up.sum_out = 4;
  Instruction beside = linear("beside", 2, 6, kWidth, Epilogue::kClamp);
  beside.low = -1;
  beside.high = 1;
  beside.joins = true;
  Instruction down = linear("down", 5, 0, kWidth, Epilogue::kAdd);
  down.residuals = {4, 6};
  Instruction outputs;
  outputs.op = Op::kOutputs;
  outputs.name = "outputs";
  outputs.in = 0;
  outputs.out = 7;
  p.instructions = {embed,  qkv,  attention, linear("o", 2, 3, kWidth, Epilogue::kNone),        up,
                    beside, down, outputs,   linear("head", 7, 8, kVocabulary, Epilogue::kNone)};
  const std::string error = p.Check();
  CHECK(error.empty());
  return program;
}

// An engine whose news are collected as they come.
class Client {
 public:
  explicit Client(int threads) {
    Engine::Options options;
    options.executor.kernels = &CompiledTables().back().kernels;
    options.executor.threads = options.executor.decode_threads = threads;
    options.notify = [](void* self) { static_cast<Client*>(self)->looks_.fetch_add(1); };
    options.context = this;
    engine = Engine::Create(SmallProgram(), nullptr, options);
    CHECK(engine != nullptr);
  }

  void Generate(uint32_t id, int64_t sequence, std::vector<int32_t> prompt, int tokens) {
    SamplingOptions options;
    options.seed = id;
    auto request = std::make_unique<Request>();
    request->id = id;
    request->generates = true;
    request->max_tokens = tokens;
    request->feed = std::move(prompt);
    request->sampler = std::make_unique<Sampler>(engine->vector_kernels(), options, kVocabulary);
    engine->Submit(sequence, std::move(request));
  }

  // Until so many requests have ended since the last time.
  void AwaitEnds(int count) {
    while (count > 0) {
      const std::vector<Event> events = engine->TakeEvents();
      for (const Event& event : events) {
        count -= event.finished ? 1 : 0;
        tokens.insert(tokens.end(), event.tokens.begin(), event.tokens.end());
      }
      engine->Heard(!events.empty());
      if (events.empty()) std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }

  std::unique_ptr<Engine> engine;
  std::vector<int32_t> tokens;  // of all requests, as they came

 private:
  std::atomic<int> looks_{0};
};

std::vector<int32_t> Prompt(int length, int seed) {
  std::vector<int32_t> tokens(length);
  for (int i = 0; i < length; ++i) tokens[i] = (i * 7 + seed * 13) % kVocabulary;
  return tokens;
}

// One thread or several, few rows or many: the same tokens.
void ThreadsDoNotMatter() {
  std::vector<int32_t> expected;
  for (const int threads : {1, 2, 3}) {
    Client client(threads);
    for (uint32_t i = 1; i <= 6; ++i) {
      const int64_t sequence = client.engine->CreateSequence();
      client.Generate(i, sequence, Prompt(1 + 9 * static_cast<int>(i), static_cast<int>(i)), 60);
      client.AwaitEnds(1);
      client.engine->ReleaseSequence(sequence);
    }
    CHECK(client.tokens.size() == 6 * 60);
    if (expected.empty()) expected = client.tokens;
    CHECK(client.tokens == expected);
    // Before qkv, attention, o, up with what joins it, and down; five for outputs, head and sampling.
    if (threads > 1) CHECK(client.engine->GetStatistics().barriers == 10);
  }
}

// Streams come, are cancelled at any moment, by their request or by their sequence, and come again.
void AbortsLeaveNothingBehind() {
  Client client(3);
  constexpr int kStreams = 16, kAborts = 300;
  std::mt19937 random(2);
  uint32_t id = 1;
  std::vector<int64_t> sequences(kStreams);
  std::vector<uint32_t> requests(kStreams);
  int ends = 0;
  for (int stream = 0; stream < kStreams; ++stream) {
    sequences[stream] = client.engine->CreateSequence();
    client.Generate(requests[stream] = id++, sequences[stream], Prompt(1 + 5 * stream, stream), 100000);
    ++ends;
  }
  for (int abort = 0; abort < kAborts; ++abort) {
    const int stream = static_cast<int>(random() % kStreams);
    if (random() % 2 == 0) client.engine->Cancel(requests[stream]);
    client.engine->ReleaseSequence(sequences[stream]);
    sequences[stream] = client.engine->CreateSequence();
    client.Generate(requests[stream] = id++, sequences[stream], Prompt(1 + static_cast<int>(random() % 90), stream),
                    100000);
    ++ends;
    if (random() % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 500));
  }
  for (int stream = 0; stream < kStreams; ++stream) client.engine->ReleaseSequence(sequences[stream]);
  client.AwaitEnds(ends);
  const Engine::Statistics statistics = client.engine->GetStatistics();
  CHECK(statistics.free_blocks == kBlocks);
}

// Several threads call one engine at once.
void CallsFromEverywhere() {
  Client client(2);
  std::atomic<uint32_t> id{1};
  std::vector<std::thread> callers;
  constexpr int kCallers = 4, kRounds = 40;
  for (int caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&, caller] {
      for (int round = 0; round < kRounds; ++round) {
        const int64_t sequence = client.engine->CreateSequence();
        const uint32_t request = id.fetch_add(1);
        client.Generate(request, sequence, Prompt(1 + (caller * 17 + round) % 40, caller), 5 + round % 20);
        int64_t copy = 0;
        if (client.engine->Fork(sequence, &copy) == Engine::Change::kDone) client.engine->ReleaseSequence(copy);
        client.engine->Length(sequence);
        client.engine->GetStatistics();
        if (round % 3 == 0) client.engine->Cancel(request);
        client.engine->ReleaseSequence(sequence);
      }
    });
  }
  client.AwaitEnds(kCallers * kRounds);
  for (std::thread& caller : callers) caller.join();
  CHECK(client.engine->GetStatistics().free_blocks == kBlocks);
}

// With work under way, after a stop or without one.
void EndsAtAnyMoment() {
  for (int round = 0; round < 30; ++round) {
    Client client(1 + round % 3);
    for (uint32_t i = 1; i <= 4; ++i)
      client.Generate(i, client.engine->CreateSequence(), Prompt(static_cast<int>(10 * i), static_cast<int>(i)),
                      100000);
    std::this_thread::sleep_for(std::chrono::microseconds(100 * (round % 10)));
    if (round % 2 == 0) {
      client.engine->Stop();
      client.AwaitEnds(5);
    }
  }
}

}  // namespace
}  // namespace llm

int main() {
  llm::ThreadsDoNotMatter();
  llm::AbortsLeaveNothingBehind();
  llm::CallsFromEverywhere();
  llm::EndsAtAnyMoment();
}
