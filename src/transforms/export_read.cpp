// Reads what may have been made to harm: every count and length is held against the bytes left before anything is made of
// it, numbers of ops, inputs and expressions against what they count, and each trace is run once on its own example.
#include <algorithm>
#include <cstring>
#include <map>

#include "graph/registry.h"
#include "io/crc32.h"
#include "transforms/export_format.h"
#include "transforms/trace.h"

namespace plait::export_format {
namespace {

using io::ByteReader;

constexpr std::string_view kOp = "import_function";
constexpr uint8_t kProgram = 9;
constexpr const char* kDamaged = "the file is damaged, or was not written by plait";

struct FileOp {
  struct Field {
    const AttrField* field;
    uint8_t code;
  };
  const OpDef* def = nullptr;
  std::vector<Field> fields;  // in the order of their values in a step
};

DType dtype_of(ByteReader& from) {
  const uint8_t code = from.u8();
  if (code >= kDTypeCount) from.reject("dtype " + std::to_string(code), "0 to " + std::to_string(kDTypeCount - 1));
  return static_cast<DType>(code);
}

Aval aval(ByteReader& from) {
  Aval out{{}, dtype_of(from)};
  const uint8_t rank = from.u8();
  if (rank > kMaxExportedRank)
    from.reject(std::to_string(rank) + " axes", "at most " + std::to_string(kMaxExportedRank));
  int64_t bytes = size_of(out.dtype);
  bool fits = true;
  for (int i = 0; i < rank; ++i) {
    const int64_t extent = from.i64();
    if (extent < 0) from.reject("extent " + std::to_string(extent), "0 and more");
    fits &= !__builtin_mul_overflow(bytes, std::max<int64_t>(extent, 1), &bytes);
    out.shape.push_back(extent);
  }
  if (!fits) from.reject("the shape " + to_string(out.shape), "less than 2^63 bytes in all");
  return out;
}

std::vector<FileOp> op_table(ByteReader& from) {
  std::vector<FileOp> ops(from.count(12));
  for (FileOp& op : ops) {
    const std::string name = from.string();
    const uint32_t version = from.u32();
    op.def = registry().find(name);
    if (op.def == nullptr)
      from.reject("the op " + name, "ops of this version of plait; a newer one may have written the file");
    if (version != static_cast<uint32_t>(op.def->version))
      from.reject("version " + std::to_string(version) + " of the op " + name,
                  "version " + std::to_string(op.def->version) + ", which this plait has");
    const uint32_t fields = from.count(5);
    for (uint32_t i = 0; i < fields; ++i) {
      const std::string field = from.string();
      const uint8_t code = from.u8();
      const AttrField* found = nullptr;
      for (const auto& known : op.def->attrs)
        if (known->name == field) found = known.get();
      for (const auto& earlier : op.fields)
        if (earlier.field == found) found = nullptr;
      if (found == nullptr || code_of(*op.def, *found) != code)
        from.reject("attribute " + field + " of type " + std::to_string(code) + " of the op " + name,
                    "attributes that the op has, each once and of its type");
      op.fields.push_back({found, code});
    }
    for (const auto& known : op.def->attrs)  // nothing stands for a program that is missing
      if (known->type == "program" && std::none_of(op.fields.begin(), op.fields.end(),
                                                   [&](const auto& given) { return given.field == known.get(); }))
        from.reject("the op " + name + " without its attribute " + known->name, "all of its programs");
  }
  return ops;
}

Arrays tensors(ByteReader& from, const Source& source, uint64_t tables_end) {
  Arrays out(from.count(22));
  uint64_t end = tables_end;
  for (Array& a : out) {
    const Aval kind = aval(from);
    const uint64_t at = from.u64(), bytes = from.u64();
    const uint32_t crc = from.u32();
    const auto needed = static_cast<uint64_t>(kind.shape.count_value()) * static_cast<uint64_t>(size_of(kind.dtype));
    if (bytes != needed)
      from.reject(std::to_string(bytes) + " bytes for a tensor of shape " + to_string(kind.shape),
                  std::to_string(needed));
    if (at != aligned(end) || at > source.size || bytes > source.size - at)
      from.reject("a tensor at byte " + std::to_string(at) + " of " + std::to_string(bytes) + " bytes",
                  "tensors one behind the other, inside of the file");
    end = at + bytes;
    Storage storage = allocate_storage(kind);
    source.read(at, storage.data(), bytes);
    if (io::crc32(storage.data(), bytes) != crc)
      from.reject("a tensor with another check sum", "the one written with it");
    if (kind.dtype == DType::bool_)
      for (uint64_t i = 0; i < bytes; ++i)
        if (static_cast<uint8_t>(storage.data()[i]) > 1) from.reject("a bool that is neither 0 nor 1", "0 and 1");
    a = make_evaluated(std::move(storage), kind);
  }
  if (end != source.size && !(out.empty() && tables_end == source.size))
    from.reject(std::to_string(source.size - end) + " bytes behind the last tensor", "none");
  return out;
}

class TraceReader {
 public:
  TraceReader(ByteReader from, const std::vector<FileOp>& ops, const Arrays& constants)
      : from_(from), ops_(ops), constants_(constants) {}

  ExportedTrace read() {
    read_inputs();
    read_record();
    const Scope scope{trace_.inputs.size(), constants_.size(), 0};
    trace_.steps = steps(from_, scope);
    const uint32_t results = from_.count(11);
    for (uint32_t i = 0; i < results; ++i) {
      trace_.results.push_back(link(from_, scope, trace_.steps.size()));
      trace_.outputs.push_back(aval(from_));
    }
    from_.finish();
    return std::move(trace_);
  }

 private:
  /// What steps of one program may refer to beside each other.
  struct Scope {
    size_t inputs;
    size_t constants;
    int depth;
  };

  void read_inputs() {
    trace_.shapeless = from_.boolean();
    trace_.positional = from_.count(2);
    const uint32_t keywords = from_.count(6);
    for (uint32_t i = 0; i < keywords; ++i) {
      trace_.keywords.push_back(from_.string());
      if (i > 0 && trace_.keywords[i] <= trace_.keywords[i - 1])
        from_.reject("keyword " + trace_.keywords[i], "sorted keywords, each once");
    }
    for (size_t i = 0; i < trace_.input_count(); ++i) trace_.inputs.push_back(aval(from_));
  }

  void read_record() {
    auto& [exprs, guards] = trace_.record;
    size_t variables = 0;
    for (const Aval& in : trace_.inputs) variables += in.shape.size();
    const uint32_t expr_count = from_.count(17);
    exprs.push_back({.op = 'c'});
    for (uint32_t i = 1; i <= expr_count; ++i) {
      DimScope::Record::Expr e;
      e.op = static_cast<char>(from_.u8());
      e.constant = from_.i64();
      e.a = from_.u32();
      e.b = from_.u32();
      const bool operation = e.op == '+' || e.op == '-' || e.op == '*' || e.op == '/';
      const bool variable = e.op == 'v' && e.constant >= 0 && static_cast<size_t>(e.constant) < variables;
      if (!variable && e.op != 'c' && !(operation && e.a > 0 && e.a < i && e.b > 0 && e.b < i))
        from_.reject("an expression that is none", "an extent, a number, or an operation on earlier expressions");
      exprs.push_back(e);
    }
    const uint32_t guard_count = from_.count(18);
    for (uint32_t i = 0; i < guard_count; ++i) {
      DimScope::Record::Guard g;
      g.op = static_cast<char>(from_.u8());
      g.a = from_.u32();
      g.b = from_.u32();
      g.constant = from_.i64();
      g.result = from_.boolean();
      const bool relation = (g.op == '=' || g.op == '<') && g.b < exprs.size();
      if ((!relation && g.op != 'f') || g.a >= exprs.size())
        from_.reject("a guard that is none", "a relation between expressions, or the value of one");
      guards.push_back(g);
    }
    if (!trace_.shapeless && expr_count + guard_count > 0)
      from_.reject("expressions in a trace whose extents are given", "none");
  }

  std::vector<ExportedStep> steps(ByteReader& from, const Scope& scope) {
    std::vector<ExportedStep> out;
    const uint32_t count = from.count(8);
    out.reserve(count);
    for (uint32_t i = 0; i < count; ++i) out.push_back(step(from, scope, i));
    return out;
  }

  ExportedStep step(ByteReader& from, const Scope& scope, size_t earlier) {
    ExportedStep out;
    const uint32_t number = from.u32();
    if (number >= ops_.size()) from.reject("op " + std::to_string(number), std::to_string(ops_.size()) + " ops");
    const FileOp& op = ops_[number];
    out.op = op.def;
    const uint32_t inputs = from.count(9);
    for (uint32_t i = 0; i < inputs; ++i) out.inputs.push_back(link(from, scope, earlier));
    if (!op.def->default_attrs) return out;
    out.attrs = op.def->default_attrs();
    std::map<const AttrField*, std::shared_ptr<const ExportedBody>> bodies;
    for (const auto& [field, code] : op.fields) {
      if (code == kProgram) {
        bodies[field] = body(from, scope.depth + 1);
      } else {
        read_field(from, *field, code, out.attrs->mutable_data());
      }
    }
    for (const auto& field : op.def->attrs)
      if (const auto it = bodies.find(field.get()); it != bodies.end()) out.bodies.push_back(it->second);
    return out;
  }

  std::shared_ptr<const ExportedBody> body(ByteReader& outer, int depth) {
    if (depth > kMaxExportedDepth)
      outer.reject("programs " + std::to_string(depth) + " deep in each other",
                   "at most " + std::to_string(kMaxExportedDepth));
    ByteReader from = outer.part(outer.u64());
    auto out = std::make_shared<ExportedBody>();
    const uint32_t inputs = from.count(5);
    for (uint32_t i = 0; i < inputs; ++i) {
      Aval in{{}, dtype_of(from)};
      in.shape = shape(from);
      out->inputs.push_back(std::move(in));
    }
    const Scope scope{out->inputs.size(), 0, depth};
    out->steps = steps(from, scope);
    const uint32_t results = from.count(9);
    for (uint32_t i = 0; i < results; ++i) out->results.push_back(link(from, scope, out->steps.size()));
    from.finish();
    return out;
  }

  static ExportedTrace::Link link(ByteReader& from, const Scope& scope, size_t earlier_steps) {
    ExportedTrace::Link out{};
    const uint8_t kind = from.u8();
    out.at = from.u32();
    out.output = from.u32();
    using From = ExportedTrace::Link::From;
    out.from = static_cast<From>(kind);
    const size_t known = kind == static_cast<uint8_t>(From::input)      ? scope.inputs
                         : kind == static_cast<uint8_t>(From::step)     ? earlier_steps
                         : kind == static_cast<uint8_t>(From::constant) ? scope.constants
                                                                        : 0;
    if (out.at >= known || (out.from != From::step && out.output != 0))
      from.reject("value " + std::to_string(out.at) + " of kind " + std::to_string(kind),
                  "inputs, constants and results of earlier steps");
    return out;
  }

  Dim dim(ByteReader& from) const {
    const int64_t value = from.i64();
    const uint32_t expr = from.u32();
    if (expr >= trace_.record.exprs.size())
      from.reject("expression " + std::to_string(expr), "below " + std::to_string(trace_.record.exprs.size()));
    return expr == 0 ? Dim(value) : Dim::symbolic(value, expr);
  }

  Shape shape(ByteReader& from) const {
    Shape out;
    const uint32_t rank = from.count(12);
    if (rank > kMaxExportedRank)
      from.reject(std::to_string(rank) + " extents", "at most " + std::to_string(kMaxExportedRank));
    for (uint32_t i = 0; i < rank; ++i) out.push_back(dim(from));
    return out;
  }

  static Scalar scalar(ByteReader& from) {
    Scalar v;
    const uint8_t kind = from.u8();
    if (kind > static_cast<uint8_t>(Scalar::Kind::complex))
      from.reject("a number of kind " + std::to_string(kind), "0 to 3");
    v.kind = static_cast<Scalar::Kind>(kind);
    v.is_unsigned = from.boolean();
    v.i = from.i64();
    v.re = from.f64();
    v.im = from.f64();
    return v;
  }

  AttrValue value(ByteReader& from, uint8_t code) const {
    switch (code) {
      case 0: return from.boolean();
      case 1: return from.i64();
      case 2: return from.f64();
      case 3: return from.string();
      case 4: return dtype_of(from);
      case 5: {
        std::vector<int64_t> out(from.count(8));
        for (int64_t& v : out) v = from.i64();
        return out;
      }
      case 6: return dim(from);
      case 7: return shape(from);
      default: return scalar(from);
    }
  }

  void read_field(ByteReader& from, const AttrField& field, uint8_t code, void* attrs) const {
    const AttrValue given = value(from, code);
    field.set(attrs, given);
    const auto same = [&](auto* like) {  // a field may be narrower than what stands in the file
      const auto* v = std::get_if<std::remove_pointer_t<decltype(like)>>(&given);
      return v == nullptr || std::get<std::remove_pointer_t<decltype(like)>>(field.get(attrs)) == *v;
    };
    if (!same(static_cast<int64_t*>(nullptr)) || !same(static_cast<std::vector<int64_t>*>(nullptr)))
      from.reject(field.name + " " + to_string(given), "numbers of 32 bits");
  }

  ByteReader from_;
  const std::vector<FileOp>& ops_;
  const Arrays& constants_;
  ExportedTrace trace_;
};

/// Runs the trace on placeholders like its example, so that all ops see their operands.
void check_example(const ExportedTrace& trace, const Arrays& constants) {
  const uint64_t level = open_trace();
  struct Close {
    uint64_t level;
    ~Close() { close_trace(level); }
  } close{level};
  Arrays inputs;
  for (const Aval& in : trace.inputs) inputs.push_back(abstract_placeholder(in, level));
  const Arrays outputs = run(trace, constants, inputs);
  for (size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i].dtype() != trace.outputs[i].dtype || !(outputs[i].shape() == trace.outputs[i].shape))
      throw ShapeError({.got = "result " + std::to_string(i) + " of shape " + to_string(outputs[i].shape()),
                        .accepts = "the shape and dtype that stand in the file"});
}

/// The header's fields, after which nothing but the file's own length limits what the rest may say.
uint64_t table_bytes(const Source& source, uint32_t& crc) {
  const auto reject = [&](std::string got, std::string accepts) {
    throw FileError({.op = std::string(kOp),
                     .got = source.name + ": " + std::move(got),
                     .accepts = std::move(accepts),
                     .hint = kDamaged});
  };
  char head[kHeaderBytes];
  if (source.size < kHeaderBytes) reject(std::to_string(source.size) + " bytes", "a file that export_function wrote");
  source.read(0, head, kHeaderBytes);
  ByteReader from(kOp, source.name, head);
  if (std::memcmp(head, kMagic.data(), kMagic.size()) != 0)
    reject("another kind of file", "what export_function writes");
  (void)from.u64();
  const uint32_t version = from.u32(), flags = from.u32();
  if (version != kVersion)
    reject("format version " + std::to_string(version),
           "version " + std::to_string(kVersion) + ", which this plait reads");
  const uint64_t bytes = from.u64(), tables = from.u64();
  crc = from.u32();
  ByteReader last(kOp, source.name, std::span<const char>(head).subspan(kHeaderBytes - 4), kHeaderBytes - 4);
  if (last.u32() != io::crc32(head, kHeaderBytes - 4))
    reject("a header with another check sum", "the one written with it");
  if (flags != 0) reject("flags " + std::to_string(flags), "none");
  if (bytes != source.size) reject(std::to_string(source.size) + " bytes", std::to_string(bytes));
  if (tables > source.size - kHeaderBytes)
    reject("tables of " + std::to_string(tables) + " bytes", "what the file has");
  return tables;
}

}  // namespace

ExportedFunction read(const Source& source) {
  uint32_t crc = 0;
  const uint64_t bytes = table_bytes(source, crc);
  std::string table(bytes, '\0');
  source.read(kHeaderBytes, table.data(), bytes);
  ByteReader from(kOp, source.name, table, kHeaderBytes);
  if (io::crc32(table.data(), bytes) != crc) from.reject("tables with another check sum", "the one written with them");
  ExportedFunction out;
  out.version = from.string();
  out.metadata = from.string();
  const std::vector<FileOp> ops = op_table(from);
  out.constants = tensors(from, source, kHeaderBytes + bytes);
  const uint32_t traces = from.count(8);
  for (uint32_t i = 0; i < traces; ++i) {
    out.traces.push_back(TraceReader(from.part(from.u64()), ops, out.constants).read());
    try {
      check_example(out.traces.back(), out.constants);
    } catch (const OutOfMemory&) {
      throw;
    } catch (const Error& e) {
      throw FileError({.op = std::string(kOp),
                       .got = source.name + ": trace " + std::to_string(i) + ": " + e.info().op + ": " + e.info().got,
                       .accepts = e.info().accepts,
                       .hint = kDamaged});
    }
  }
  from.finish();
  return out;
}

}  // namespace plait::export_format
