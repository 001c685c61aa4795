// A program with its engine as a JavaScript object. News of requests come to the event loop by a thread-safe function:
// the engine's thread only asks for a look, and goes on.
#include <algorithm>
#include <unordered_map>

#include "addon/bindings.h"
#include "addon/failure.h"
#include "addon/grammar_handle.h"
#include "addon/program_reader.h"
#include "cpu/features.h"
#include "kernels/select.h"
#include "program/engine.h"
#include "threads/pool.h"

namespace llm {
namespace {

class NativeProgram : public Napi::ObjectWrap<NativeProgram> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "NativeProgram",
                       {
                           InstanceMethod<&NativeProgram::CreateSequence>("createSequence"),
                           InstanceMethod<&NativeProgram::SequenceLength>("sequenceLength"),
                           InstanceMethod<&NativeProgram::SequenceTokens>("sequenceTokens"),
                           InstanceMethod<&NativeProgram::ForkSequence>("forkSequence"),
                           InstanceMethod<&NativeProgram::TruncateSequence>("truncateSequence"),
                           InstanceMethod<&NativeProgram::ShiftSequence>("shiftSequence"),
                           InstanceMethod<&NativeProgram::ReleaseSequence>("releaseSequence"),
                           InstanceMethod<&NativeProgram::BeginRestore>("beginRestore"),
                           InstanceMethod<&NativeProgram::EndRestore>("endRestore"),
                           InstanceMethod<&NativeProgram::ReadBlock>("readBlock"),
                           InstanceMethod<&NativeProgram::WriteBlock>("writeBlock"),
                           InstanceMethod<&NativeProgram::Forward>("forward"),
                           InstanceMethod<&NativeProgram::Generate>("generate"),
                           InstanceMethod<&NativeProgram::Cancel>("cancel"),
                           InstanceMethod<&NativeProgram::InstructionTimes>("instructionTimes"),
                           InstanceMethod<&NativeProgram::InstructionNames>("instructionNames"),
                           InstanceMethod<&NativeProgram::Statistics>("statistics"),
                           InstanceMethod<&NativeProgram::Trace>("trace"),
                           InstanceMethod<&NativeProgram::Stop>("stop"),
                       });
  }

  // (description, options, onEvent)
  explicit NativeProgram(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativeProgram>(info), env_(info.Env()) {
    std::unique_ptr<Program> program = ReadProgram(env_, info[0]);
    if (program == nullptr) return;
    const Napi::Object given = info[1].As<Napi::Object>();
    std::unique_ptr<Program> draft;
    if (const Napi::Value description = Get(given, "draft"); !description.IsUndefined()) {
      draft = ReadProgram(env_, description);
      if (draft == nullptr) return;
      if (draft->vocabulary != program->vocabulary) {
        Fail(env_, "INVALID_ARGUMENT", "The draft model has another vocabulary.");
        return;
      }
      has_draft_ = true;
    }
    Engine::Options options;
    Executor::Options& executor = options.executor;
    const std::string isa = Get(given, "isa").As<Napi::String>().Utf8Value();
    executor.kernels = isa.empty() ? BestKernels() : FindKernels(isa, HostCpu());
    if (executor.kernels == nullptr) {
      Fail(env_, "UNSUPPORTED_ISA", "This CPU or this build has no kernels for " + isa + ".");
      return;
    }
    const auto threads = [&](const char* name) {
      const int wanted = Get(given, name).As<Napi::Number>().Int32Value();
      return wanted > 0 ? wanted : SharedPool().parts();
    };
    executor.threads = threads("threads");
    executor.decode_threads = threads("decodeThreads");
    executor.debug = Get(given, "debug").As<Napi::Boolean>().Value();
    executor.profile = Get(given, "profile").As<Napi::Boolean>().Value();
    executor.trace = Get(given, "trace").As<Napi::Boolean>().Value();
    options.context = this;
    options.notify = [](void* self) {
      napi_call_threadsafe_function(static_cast<NativeProgram*>(self)->look_, nullptr, napi_tsfn_nonblocking);
    };
    listener_ = Napi::Persistent(info[2].As<Napi::Function>());

    // Unreferenced, it does not keep the process alive.
    const Napi::String name = Napi::String::New(env_, "llm program");
    if (napi_create_threadsafe_function(env_, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, Look, &look_) !=
        napi_ok) {
      Fail(env_, "PROGRAM_FAILED", "The environment is shutting down.");
      return;
    }
    napi_unref_threadsafe_function(env_, look_);
    engine_ = Engine::Create(std::move(program), std::move(draft), options);
    if (engine_ == nullptr) {
      Close();
      Fail(env_, "OUT_OF_MEMORY", "The arena or the cache does not fit into memory.");
      return;
    }
    // After the thread-safe function, so that at the end of a worker the engine stops before it.
    napi_add_env_cleanup_hook(env_, EndOfEnvironment, this);
  }

  ~NativeProgram() override { Close(); }

 private:
  static Napi::Value Get(const Napi::Object& object, const char* name) {
    return object.Get(name).UnwrapOr(object.Env().Undefined());
  }

  static const KernelTable* BestKernels() {
    for (const CompiledTable& table : CompiledTables())
      if (table.RunsOn(HostCpu())) return &table.kernels;
    return nullptr;
  }

  static void EndOfEnvironment(void* self) { static_cast<NativeProgram*>(self)->engine_.reset(); }

  static void Look(napi_env env, napi_value, void* self, void*) {
    if (env != nullptr) static_cast<NativeProgram*>(self)->Deliver();
  }

  void Close() {
    if (engine_ != nullptr) {
      napi_remove_env_cleanup_hook(env_, EndOfEnvironment, this);
      engine_.reset();
    }
    if (look_ != nullptr) napi_release_threadsafe_function(look_, napi_tsfn_abort);
    look_ = nullptr;
  }

  // While something is expected, the process and this object stay.
  void Expect() {
    if (expected_++ > 0) return;
    Ref();
    napi_ref_threadsafe_function(env_, look_);
  }
  void Done() {
    if (--expected_ > 0) return;
    if (look_ != nullptr) napi_unref_threadsafe_function(env_, look_);
    Unref();
  }

  void Deliver() {
    if (engine_ == nullptr) return;
    const Napi::HandleScope scope(env_);
    [[maybe_unused]] const Napi::Object self = Value();  // stays until the end of this
    napi_value thrown = nullptr;
    const std::vector<Event> events = engine_->TakeEvents();
    for (const Event& event : events) {
      const Napi::Value undefined = env_.Undefined();
      Napi::Value tokens = undefined, log_probabilities = undefined, end = undefined;
      if (!event.tokens.empty()) tokens = ToArray<Napi::Int32Array>(event.tokens);
      if (!event.log_probabilities.empty()) log_probabilities = ToArray<Napi::Float32Array>(event.log_probabilities);
      if (event.finished) {
        end = ToObject(event.finish);
        outs_.erase(event.request);
      }
      if (event.request == Engine::kEngineItself) Close();
      const auto result = listener_.Call({Napi::Number::New(env_, event.request), tokens, log_probabilities, end});
      // Also when a worker is being terminated: then no call succeeds any more.
      if (result.IsNothing()) napi_get_and_clear_last_exception(env_, &thrown);
      if (event.finished) Done();
    }
    if (engine_ != nullptr) {
      engine_->Heard(!events.empty());
    } else {
      // It holds the program in JavaScript, which holds this object.
      listener_.Reset();
    }
    if (thrown != nullptr) napi_throw(env_, thrown);
  }

  template <class Array, class T>
  Napi::Value ToArray(const std::vector<T>& values) {
    Array array = Array::New(env_, values.size());
    if (array.IsEmpty()) return env_.Undefined();  // the environment is ending
    std::copy(values.begin(), values.end(), array.Data());
    return array;
  }

  Napi::Value ToObject(const Finish& finish) {
    const Napi::Object end = Napi::Object::New(env_);
    const auto number = [&](const char* name, double value) { end.Set(name, Napi::Number::New(env_, value)); };
    const auto text = [&](const char* name, const std::string& value) {
      end.Set(name, Napi::String::New(env_, value));
    };
    if (finish.failure.code != nullptr) text("error", finish.failure.code);
    number("a", finish.failure.a);
    number("b", finish.failure.b);
    text("name", finish.failure.text);
    number("reason", static_cast<int>(finish.reason));
    number("stopToken", finish.stop_token);
    number("promptTokens", static_cast<double>(finish.prompt_tokens));
    number("reusedTokens", static_cast<double>(finish.reused_tokens));
    number("generatedTokens", static_cast<double>(finish.generated_tokens));
    number("promptSeconds", finish.prompt_seconds);
    number("generateSeconds", finish.generate_seconds);
    number("draftedTokens", static_cast<double>(finish.drafted_tokens));
    number("acceptedTokens", static_cast<double>(finish.accepted_tokens));
    return end;
  }

  static int64_t Id(const Napi::Value& value) { return value.As<Napi::Number>().Int64Value(); }

  static std::vector<int32_t> Ints(const Napi::Value& value) {
    auto array = value.As<Napi::Int32Array>();
    return {array.Data(), array.Data() + array.ElementLength()};
  }

  Napi::Value CreateSequence(const Napi::CallbackInfo&) {
    return Napi::Number::New(env_, static_cast<double>(engine_->CreateSequence()));
  }

  Napi::Value SequenceLength(const Napi::CallbackInfo& info) {
    return Napi::Number::New(env_, engine_ == nullptr ? 0 : static_cast<double>(engine_->Length(Id(info[0]))));
  }

  Napi::Value SequenceTokens(const Napi::CallbackInfo& info) {
    const std::vector<int32_t> tokens = engine_ == nullptr ? std::vector<int32_t>() : engine_->Tokens(Id(info[0]));
    return ToArray<Napi::Int32Array>(tokens);
  }

  Napi::Value Refuse(Engine::Change change) {
    switch (change) {
      case Engine::Change::kBusy:
        return Fail(env_, "SEQUENCE_BUSY", "A request is running on this sequence.");
      case Engine::Change::kTooLong:
        return Fail(env_, "INVALID_ARGUMENT", "The sequence is not that long.");
      case Engine::Change::kNoBlocks:
        return Fail(env_, "OUT_OF_BLOCKS", "There are too few free blocks.");
      case Engine::Change::kNoRotation:
        return Fail(env_, "INVALID_ARGUMENT", "The model learned absolute positions: its cached tokens cannot move.");
      case Engine::Change::kUnknown:
      case Engine::Change::kDone:
        break;
    }
    return Fail(env_, "INVALID_ARGUMENT", "There is no such sequence.");
  }

  Napi::Value ForkSequence(const Napi::CallbackInfo& info) {
    int64_t copy = -1;
    const Engine::Change change = engine_ == nullptr ? Engine::Change::kUnknown : engine_->Fork(Id(info[0]), &copy);
    if (change != Engine::Change::kDone) return Refuse(change);
    return Napi::Number::New(env_, static_cast<double>(copy));
  }

  Napi::Value TruncateSequence(const Napi::CallbackInfo& info) {
    const Engine::Change change =
        engine_ == nullptr ? Engine::Change::kUnknown : engine_->Truncate(Id(info[0]), Id(info[1]));
    return change == Engine::Change::kDone ? Napi::Value() : Refuse(change);
  }

  // (sequence, keepBlocks, dropBlocks)
  Napi::Value ShiftSequence(const Napi::CallbackInfo& info) {
    const Engine::Change change =
        engine_ == nullptr ? Engine::Change::kUnknown : engine_->Shift(Id(info[0]), Id(info[1]), Id(info[2]));
    return change == Engine::Change::kDone ? Napi::Value() : Refuse(change);
  }

  // (tokens): number
  Napi::Value BeginRestore(const Napi::CallbackInfo& info) {
    const int64_t sequence = engine_->BeginRestore(Ints(info[0]));
    if (sequence < 0) return Refuse(Engine::Change::kNoBlocks);
    return Napi::Number::New(env_, static_cast<double>(sequence));
  }

  Napi::Value EndRestore(const Napi::CallbackInfo& info) {
    engine_->EndRestore(Id(info[0]));
    return {};
  }

  // (sequence, block): Uint8Array
  Napi::Value ReadBlock(const Napi::CallbackInfo& info) {
    Napi::Value result;
    const Engine::Change change =
        engine_->WithBlock(Id(info[0]), Id(info[1]), false, [&](const uint8_t* data, size_t size) {
          Napi::Uint8Array bytes = Napi::Uint8Array::New(env_, size);
          std::copy(data, data + size, bytes.Data());
          result = bytes;
        });
    return change == Engine::Change::kDone ? result : Refuse(change);
  }

  // (sequence, block, bytes: Uint8Array)
  Napi::Value WriteBlock(const Napi::CallbackInfo& info) {
    auto bytes = info[2].As<Napi::Uint8Array>();
    const Engine::Change change = engine_->WithBlock(Id(info[0]), Id(info[1]), true, [&](uint8_t* data, size_t size) {
      std::copy(bytes.Data(), bytes.Data() + std::min(size, bytes.ByteLength()), data);
    });
    return change == Engine::Change::kDone ? Napi::Value() : Refuse(change);
  }

  // (): Float64Array of part, instruction, begin and end by turns
  Napi::Value Trace(const Napi::CallbackInfo&) {
    std::vector<double> values;
    for (const Executor::Span& span : engine_->Trace())
      values.insert(values.end(),
                    {static_cast<double>(span.part), static_cast<double>(span.instruction), span.begin, span.end});
    return ToArray<Napi::Float64Array>(values);
  }

  Napi::Value ReleaseSequence(const Napi::CallbackInfo& info) {
    if (engine_ != nullptr) engine_->ReleaseSequence(Id(info[0]));
    return {};
  }

  void Submit(const Napi::CallbackInfo& info, std::unique_ptr<Request> request) {
    request->id = info[0].As<Napi::Number>().Uint32Value();
    request->feed = Ints(info[2]);
    Expect();
    engine_->Submit(Id(info[1]), std::move(request));
  }

  // (request, sequence, tokens, outputs, hidden, out)
  Napi::Value Forward(const Napi::CallbackInfo& info) {
    auto request = std::make_unique<Request>();
    request->outputs = Ints(info[3]);
    request->hidden = info[4].As<Napi::Boolean>().Value();
    auto out = info[5].As<Napi::Float32Array>();
    const Program& program = engine_->program();
    const size_t width = request->hidden ? program.buffers[program.hidden].width : program.vocabulary;
    if (request->outputs.empty() || out.ElementLength() != request->outputs.size() * width)
      return Fail(env_, "INVALID_ARGUMENT", "The result has another size.");
    request->out = out.Data();
    outs_.emplace(info[0].As<Napi::Number>().Uint32Value(), Napi::Persistent(out.As<Napi::Object>()));
    Submit(info, std::move(request));
    return {};
  }

  // (request, sequence, prompt, options)
  Napi::Value Generate(const Napi::CallbackInfo& info) {
    const Napi::Object given = info[3].As<Napi::Object>();
    const auto number = [&](const char* name) { return Get(given, name).As<Napi::Number>().DoubleValue(); };
    const auto real = [&](const char* name) { return static_cast<float>(number(name)); };
    SamplingOptions sampling;
    sampling.temperature = real("temperature");
    sampling.top_k = static_cast<int>(number("topK"));
    sampling.top_p = real("topP");
    sampling.min_p = real("minP");
    sampling.repetition_penalty = real("repetitionPenalty");
    sampling.presence_penalty = real("presencePenalty");
    sampling.frequency_penalty = real("frequencyPenalty");
    bool lossless = false;
    sampling.seed = Get(given, "seed").As<Napi::BigInt>().Uint64Value(&lossless);
    const std::vector<int32_t> bias_tokens = Ints(Get(given, "biasTokens"));
    auto bias_values = Get(given, "biasValues").As<Napi::Float32Array>();
    const int vocabulary = engine_->program().vocabulary;
    for (size_t i = 0; i < bias_tokens.size() && i < bias_values.ElementLength(); ++i) {
      if (bias_tokens[i] < 0 || bias_tokens[i] >= vocabulary)
        return Fail(env_, "INVALID_ARGUMENT", "logitBias names a token outside the vocabulary.");
      sampling.logit_bias.push_back({bias_tokens[i], bias_values[i]});
    }

    auto request = std::make_unique<Request>();
    request->generates = true;
    request->max_tokens = static_cast<int64_t>(number("maxTokens"));
    request->stop_tokens = Ints(Get(given, "stopTokens"));
    request->shift_keep = static_cast<int64_t>(number("shiftKeep"));
    const std::string guesses = Get(given, "speculation").As<Napi::String>().Utf8Value();
    if (guesses == "promptLookup") request->guesses = Request::Guesses::kLookUp;
    if (guesses == "draftModel") {
      if (!has_draft_) return Fail(env_, "INVALID_ARGUMENT", "The program has no draft model.");
      request->guesses = Request::Guesses::kDraftModel;
    }
    request->log_probabilities = Get(given, "logProbabilities").As<Napi::Boolean>().Value();
    request->sampler = std::make_unique<Sampler>(engine_->vector_kernels(), std::move(sampling), vocabulary);
    const Napi::Value grammar = Get(given, "grammar");
    if (!grammar.IsUndefined()) {
      std::shared_ptr<TokenMasks> masks = UnwrapGrammar(grammar);
      if (masks == nullptr || masks->vocabulary() != vocabulary)
        return Fail(
            env_, "INVALID_ARGUMENT",
            "The grammar is over another vocabulary: this program's has " + std::to_string(vocabulary) + " tokens.");
      request->constraint.emplace(std::move(masks));
    }
    Submit(info, std::move(request));
    return {};
  }

  Napi::Value Cancel(const Napi::CallbackInfo& info) {
    if (engine_ != nullptr) engine_->Cancel(info[0].As<Napi::Number>().Uint32Value());
    return {};
  }

  Napi::Value InstructionTimes(const Napi::CallbackInfo&) {
    return ToArray<Napi::Float64Array>(engine_->InstructionSeconds());
  }

  Napi::Value InstructionNames(const Napi::CallbackInfo&) {
    const Napi::Array names = Napi::Array::New(env_);
    for (const Instruction& ins : engine_->program().instructions)
      names.Set(names.Length(), Napi::String::New(env_, ins.name));
    return names;
  }

  Napi::Value Statistics(const Napi::CallbackInfo&) {
    const Engine::Statistics s = engine_->GetStatistics();
    const Napi::Object result = Napi::Object::New(env_);
    const auto number = [&](const char* name, double value) { result.Set(name, Napi::Number::New(env_, value)); };
    number("blocks", s.blocks);
    number("freeBlocks", s.free_blocks);
    number("reusableBlocks", s.reusable_blocks);
    number("blockBytes", static_cast<double>(s.cache_bytes) / s.blocks);
    number("cacheBytes", static_cast<double>(s.cache_bytes));
    number("arenaBytes", static_cast<double>(s.arena_bytes));
    number("scratchBytes", static_cast<double>(s.scratch_bytes));
    number("steps", static_cast<double>(s.steps));
    number("tokens", static_cast<double>(s.tokens));
    number("stepSeconds", s.step_seconds);
    number("barriers", s.barriers);
    return result;
  }

  Napi::Value Stop(const Napi::CallbackInfo&) {
    if (engine_ == nullptr) return {};
    Expect();
    engine_->Stop();
    return {};
  }

  const Napi::Env env_;
  std::unique_ptr<Engine> engine_;
  Napi::FunctionReference listener_;
  std::unordered_map<uint32_t, Napi::ObjectReference> outs_;  // what running requests write into
  napi_threadsafe_function look_ = nullptr;
  int expected_ = 0;
  bool has_draft_ = false;
};

}  // namespace

void DefineProgram(Napi::Env env, Napi::Object exports) { exports.Set("NativeProgram", NativeProgram::Define(env)); }

}  // namespace llm
