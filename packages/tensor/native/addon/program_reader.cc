#include "addon/program_reader.h"

#include <string>
#include <string_view>

#include "addon/failure.h"
#include "addon/matrix_handle.h"

namespace llm {
namespace {

// The fields of one object. What is missing or of another type reads as zero, empty or undefined, and the check of the
// whole program then refuses it: TypeScript has seen to the types.
class Fields {
 public:
  explicit Fields(Napi::Value value) : value_(value) {}

  Napi::Value Get(const char* name) const {
    if (!value_.IsObject()) return value_.Env().Undefined();
    return value_.As<Napi::Object>().Get(name).UnwrapOr(value_.Env().Undefined());
  }
  Fields operator[](const char* name) const { return Fields(Get(name)); }
  bool Has(const char* name) const { return !Get(name).IsUndefined(); }

  double Number(const char* name, double missing = 0) const {
    const Napi::Value value = Get(name);
    return value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : missing;
  }
  int Int(const char* name, int missing = 0) const {
    const double number = Number(name, missing);
    return number >= -2147483648.0 && number <= 2147483647.0 ? static_cast<int>(number) : -1;
  }
  float Float(const char* name, float missing = 0) const { return static_cast<float>(Number(name, missing)); }
  bool Bool(const char* name) const {
    const Napi::Value value = Get(name);
    return value.IsBoolean() && value.As<Napi::Boolean>().Value();
  }
  std::string Text(const char* name) const {
    const Napi::Value value = Get(name);
    return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
  }
  std::vector<float> Floats(const char* name) const {
    return Typed<Napi::Float32Array, float>(name, napi_float32_array);
  }
  std::vector<int32_t> Ints(const char* name) const { return Typed<Napi::Int32Array, int32_t>(name, napi_int32_array); }

  template <class Each>
  void ForEach(const char* name, const Each& each) const {
    const Napi::Value value = Get(name);
    if (!value.IsArray()) return;
    const Napi::Array array = value.As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); ++i) each(array.Get(i).UnwrapOr(value.Env().Undefined()));
  }

 private:
  template <class Array, class T>
  std::vector<T> Typed(const char* name, napi_typedarray_type type) const {
    const Napi::Value value = Get(name);
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) return {};
    Array array = value.As<Array>();
    return std::vector<T>(array.Data(), array.Data() + array.ElementLength());
  }

  Napi::Value value_;
};

template <class E>
struct Named {
  std::string_view name;
  E value;
};

template <class E, size_t n>
bool Find(const Named<E> (&table)[n], std::string_view name, E* value) {
  for (const Named<E>& entry : table) {
    if (entry.name != name) continue;
    *value = entry.value;
    return true;
  }
  return false;
}

constexpr Named<Op> kOps[] = {
    {"embed", Op::kEmbed},
    {"positions", Op::kPositions},
    {"norm", Op::kNorm},
    {"headNorm", Op::kHeadNorm},
    {"linear", Op::kLinear},
    {"attention", Op::kAttention},
    {"add", Op::kAdd},
    {"mul", Op::kMul},
    {"silu", Op::kActivation},
    {"gelu", Op::kActivation},
    {"geluTanh", Op::kActivation},
    {"relu", Op::kActivation},
    {"scale", Op::kScale},
    {"softcap", Op::kSoftcap},
    {"clamp", Op::kClamp},
    {"take", Op::kTake},
    {"outputs", Op::kOutputs},
};
constexpr Named<Activation> kActivations[] = {
    {"silu", Activation::kSilu},
    {"gelu", Activation::kGelu},
    {"geluTanh", Activation::kGeluTanh},
    {"relu", Activation::kRelu},
};
constexpr Named<Epilogue> kEpilogues[] = {
    {"none", Epilogue::kNone},   {"add", Epilogue::kAdd},     {"activation", Epilogue::kActivation},
    {"gated", Epilogue::kGated}, {"clamp", Epilogue::kClamp},
};
constexpr Named<Compute> kComputes[] = {{"int8", Compute::kInt8}, {"f32", Compute::kF32}, {"bf16", Compute::kBf16}};
constexpr Named<KvType> kKvTypes[] = {
    {"f32", KvType::kF32},
    {"f16", KvType::kF16},
    {"bf16", KvType::kBf16},
    {"int8", KvType::kInt8},
};

class Reader {
 public:
  explicit Reader(Program& program) : p_(program) {}

  std::string Run(const Fields& d) {
    p_.max_tokens = d.Int("maxTokens");
    p_.vocabulary = d.Int("vocabularySize");
    p_.row_floats = static_cast<int64_t>(d.Number("rowFloats"));
    p_.logits = d.Int("logits", -1);
    p_.hidden = d.Int("hidden", -1);
    d.ForEach("buffers", [this](Napi::Value value) {
      const Fields f(value);
      p_.buffers.push_back(
          {f.Text("name"), f.Int("width"), static_cast<int64_t>(f.Number("offset", -1)), f.Text("rows") == "outputs"});
    });
    d.ForEach("ropeTables", [this](Napi::Value value) {
      const Fields f(value);
      p_.rope_tables.push_back({f.Int("rotaryDim"), f.Floats("values")});
    });

    const Fields cache = d["cache"];
    p_.layers = cache.Int("layers");
    p_.kv_heads = cache.Int("kvHeads");
    p_.blocks = cache.Int("blocks");
    p_.cache.block_tokens = cache.Int("blockTokens");
    p_.cache.key_dim = cache.Int("keyDim");
    p_.cache.value_dim = cache.Int("valueDim");
    Expect(Find(kKvTypes, cache.Text("type"), &p_.cache.type), "cache type", cache.Text("type"));

    d.ForEach("instructions", [this](Napi::Value value) { p_.instructions.push_back(ReadInstruction(Fields(value))); });
    return error_.empty() ? p_.Check() : error_;
  }

 private:
  void Expect(bool known, const char* what, const std::string& name) {
    if (!known && error_.empty()) error_ = "The " + std::string(what) + " \"" + name + "\" is not known.";
  }

  static Slice ReadSlice(const Fields& f) {
    return {f.Int("buffer", -1), f.Int("column", -1), f.Int("headStride"), f.Int("groupStride")};
  }

  Norm ReadNorm(const Fields& f) {
    if (!f.Has("kind")) return {};
    const std::string kind = f.Text("kind");
    Expect(kind == "rms" || kind == "layer" || kind == "scale", "norm", kind);
    return {kind == "rms"     ? NormKind::kRms
            : kind == "scale" ? NormKind::kScale
                              : NormKind::kLayer,
            f.Floats("weight"), f.Floats("bias"), f.Float("epsilon")};
  }

  Table ReadTable(const Fields& f) {
    const MatrixHandle* const matrix = UnwrapMatrixHandle(f.Get("handle"));
    if (matrix == nullptr) {
      if (error_.empty()) error_ = "A matrix is missing or has been disposed of.";
      return {};
    }
    return {matrix->weight, matrix->memory};
  }

  std::string BufferName(int buffer) const {
    return buffer >= 0 && buffer < static_cast<int>(p_.buffers.size()) ? p_.buffers[buffer].name : std::string();
  }

  void ReadLinear(const Fields& f, Instruction& ins) {
    const Fields compute = f["compute"], epilogue = f["epilogue"];
    Expect(Find(kComputes, compute.Text("type"), &ins.compute), "compute type", compute.Text("type"));
    ins.span = compute.Int("span", kDefaultSpan);
    Expect(Find(kEpilogues, epilogue.Text("kind"), &ins.epilogue), "epilogue", epilogue.Text("kind"));
    if (epilogue.Has("activation"))
      Expect(Find(kActivations, epilogue.Text("activation"), &ins.activation), "activation",
             epilogue.Text("activation"));
    epilogue.ForEach("residuals", [&ins](Napi::Value value) {
      ins.residuals.push_back(value.IsNumber() ? value.As<Napi::Number>().Int32Value() : -1);
    });
    ins.low = epilogue.Float("min");
    ins.high = epilogue.Float("max");
    if (f.Has("sum")) {
      const Fields sum = f["sum"];
      ins.sum_norm = ReadNorm(sum["norm"]);
      ins.sum_residual = sum.Int("residual", -1);
      ins.sum_out = sum.Int("out", -2);
      Expect(ins.sum_out >= 0, "buffer of a sum", std::to_string(ins.sum_out));
    }
    ins.joins = f.Bool("joins");
    std::string names;
    f.ForEach("parts", [&](Napi::Value value) {
      const Fields part(value);
      ins.parts.push_back({part.Text("name"), ReadTable(part["weight"]), part.Floats("bias"), ReadSlice(part["out"])});
      names += (names.empty() ? "" : " + ") + part.Text("name");
    });
    ins.name = "linear " + names;
  }

  void ReadAttention(const Fields& f, Instruction& ins) {
    ins.layer = f.Int("layer", -1);
    ins.kv_heads = f.Int("kvHeads");
    ins.q = ReadSlice(f["q"]);
    ins.k = ReadSlice(f["k"]);
    ins.v = ReadSlice(f["v"]);
    ins.o = ReadSlice(f["out"]);
    ins.factor = f.Float("scale");
    const Fields rope = f["rope"];
    ins.rope_table = rope.Int("table", -1);
    ins.rope_interleaved = rope.Text("style") == "interleaved";
    ins.norm = ReadNorm(f["queryNorm"]);
    ins.key_norm = ReadNorm(f["keyNorm"]);
    ins.window = static_cast<int64_t>(f.Number("window"));
    ins.softcap = f.Float("softcap");
    ins.alibi = f.Floats("alibi");
    ins.name = "attention of layer " + std::to_string(ins.layer);
  }

  Instruction ReadInstruction(const Fields& f) {
    Instruction ins;
    const std::string op = f.Text("op");
    Expect(Find(kOps, op, &ins.op), "instruction", op);
    const bool binary = ins.op == Op::kAdd || ins.op == Op::kMul;
    ins.in = f.Int(binary ? "a" : "in", 0);
    ins.other = f.Int("b", 0);
    if (f.Get("out").IsNumber()) ins.out = f.Int("out", 0);
    ins.heads = f.Int("heads");
    ins.offset = static_cast<int64_t>(f.Number("offset"));
    ins.factor = f.Float(ins.op == Op::kSoftcap ? "cap" : ins.op == Op::kEmbed ? "scale" : "factor", 1);
    ins.low = f.Float("min");
    ins.high = f.Float("max");
    ins.channels = f.Ints("channels");
    ins.norm = ReadNorm(f["norm"]);
    if (ins.op == Op::kHeadNorm) ins.slice = ReadSlice(f["slice"]);
    if (ins.op == Op::kActivation) Find(kActivations, op, &ins.activation);
    if (ins.op == Op::kEmbed || ins.op == Op::kPositions) ins.table = ReadTable(f["table"]);
    ins.name = op + " of " + BufferName(ins.op == Op::kHeadNorm ? ins.slice.buffer : ins.out);
    if (ins.op == Op::kLinear) ReadLinear(f, ins);
    if (ins.op == Op::kAttention) ReadAttention(f, ins);
    return ins;
  }

  Program& p_;
  std::string error_;
};

}  // namespace

std::unique_ptr<Program> ReadProgram(Napi::Env env, Napi::Value description) {
  auto program = std::make_unique<Program>();
  const std::string error = Reader(*program).Run(Fields(description));
  if (env.IsExceptionPending()) return nullptr;
  if (error.empty()) return program;
  Fail(env, "INVALID_ARGUMENT", error);
  return nullptr;
}

}  // namespace llm
