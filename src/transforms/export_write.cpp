#include <bit>
#include <map>

#include "graph/registry.h"
#include "io/crc32.h"
#include "io/file.h"
#include "plait/library.h"
#include "transforms/export_format.h"

namespace plait::export_format {
namespace {

using io::ByteWriter;

uint32_t count(size_t n) {
  if (n > UINT32_MAX)
    throw ArgumentError({.op = "export_function", .got = "2^32 or more parts of one kind", .accepts = "fewer"});
  return static_cast<uint32_t>(n);
}

void put(ByteWriter& to, Dim d) {
  to.i64(d.value());
  to.u32(d.expr());
}

void put(ByteWriter& to, const Aval& aval) {
  to.u8(static_cast<uint8_t>(aval.dtype));
  to.u8(static_cast<uint8_t>(aval.shape.size()));
  for (const Dim& d : aval.shape) to.i64(d.value());
}

void put(ByteWriter& to, const ExportedTrace::Link& link) {
  to.u8(static_cast<uint8_t>(link.from));
  to.u32(link.at);
  to.u32(link.output);
}

struct PutValue {
  ByteWriter& to;
  void operator()(bool v) const { to.u8(v); }
  void operator()(int64_t v) const { to.i64(v); }
  void operator()(double v) const { to.f64(v); }
  void operator()(const std::string& v) const { to.string(v); }
  void operator()(DType v) const { to.u8(static_cast<uint8_t>(v)); }
  void operator()(const std::vector<int64_t>& v) const {
    to.u32(count(v.size()));
    for (int64_t i : v) to.i64(i);
  }
  void operator()(Dim v) const { put(to, v); }
  void operator()(const Shape& v) const {
    to.u32(count(v.size()));
    for (const Dim& d : v) put(to, d);
  }
  void operator()(const Scalar& v) const {
    to.u8(static_cast<uint8_t>(v.kind));
    to.u8(v.is_unsigned);
    to.i64(v.i);
    to.f64(v.re);
    to.f64(v.im);
  }
};

/// Ops in the order in which steps name them first.
class OpTable {
 public:
  explicit OpTable(const ExportedFunction& function) {
    for (const ExportedTrace& trace : function.traces) add(trace.steps);
  }
  uint32_t number(const OpDef* op) const { return numbers_.at(op); }
  void write(ByteWriter& to) const {
    to.u32(count(ops_.size()));
    for (const OpDef* op : ops_) {
      to.string(op->name);
      to.u32(static_cast<uint32_t>(op->version));
      to.u32(count(op->attrs.size()));
      for (const auto& field : op->attrs) {
        to.string(field->name);
        to.u8(code_of(*op, *field));
      }
    }
  }

 private:
  void add(const std::vector<ExportedStep>& steps) {
    for (const ExportedStep& step : steps) {
      if (numbers_.emplace(step.op, count(ops_.size())).second) ops_.push_back(step.op);
      for (const auto& body : step.bodies) add(body->steps);
    }
  }

  std::map<const OpDef*, uint32_t> numbers_;
  std::vector<const OpDef*> ops_;
};

void put_steps(ByteWriter& to, const std::vector<ExportedStep>& steps, const OpTable& ops);

ByteWriter body_bytes(const ExportedBody& body, const OpTable& ops) {
  ByteWriter to;
  to.u32(count(body.inputs.size()));
  for (const Aval& in : body.inputs) {
    to.u8(static_cast<uint8_t>(in.dtype));
    PutValue{to}(in.shape);
  }
  put_steps(to, body.steps, ops);
  to.u32(count(body.results.size()));
  for (const auto& link : body.results) put(to, link);
  return to;
}

void put_steps(ByteWriter& to, const std::vector<ExportedStep>& steps, const OpTable& ops) {
  to.u32(count(steps.size()));
  for (const ExportedStep& step : steps) {
    to.u32(ops.number(step.op));
    to.u32(count(step.inputs.size()));
    for (const auto& link : step.inputs) put(to, link);
    const Ref<AttrsBase> attrs = step.attrs || !step.op->default_attrs ? step.attrs : step.op->default_attrs();
    size_t bodies = 0;
    for (const auto& field : step.op->attrs) {
      if (field->type != "program") {
        std::visit(PutValue{to}, field->get(attrs->data()));
        continue;
      }
      const ByteWriter body = body_bytes(*step.bodies[bodies++], ops);
      to.u64(body.size());
      to.append(body);
    }
  }
}

ByteWriter trace_bytes(const ExportedTrace& trace, const OpTable& ops) {
  ByteWriter to;
  to.u8(trace.shapeless);
  to.u32(trace.positional);
  to.u32(count(trace.keywords.size()));
  for (const std::string& name : trace.keywords) to.string(name);
  for (const Aval& aval : trace.inputs) put(to, aval);
  const auto& exprs = trace.record.exprs;
  to.u32(count(exprs.empty() ? 0 : exprs.size() - 1));
  for (size_t i = 1; i < exprs.size(); ++i) {
    to.u8(static_cast<uint8_t>(exprs[i].op));
    to.i64(exprs[i].constant);
    to.u32(exprs[i].a);
    to.u32(exprs[i].b);
  }
  to.u32(count(trace.record.guards.size()));
  for (const auto& guard : trace.record.guards) {
    to.u8(static_cast<uint8_t>(guard.op));
    to.u32(guard.a);
    to.u32(guard.b);
    to.i64(guard.constant);
    to.u8(guard.result);
  }
  put_steps(to, trace.steps, ops);
  to.u32(count(trace.results.size()));
  for (size_t i = 0; i < trace.results.size(); ++i) {
    put(to, trace.results[i]);
    put(to, trace.outputs[i]);
  }
  return to;
}

/// Where a constant lies in the file, and what its bytes sum up to once they are written.
struct Place {
  uint64_t at = 0;
  uint32_t crc = 0;
};

ByteWriter tables(const ExportedFunction& function, const std::vector<Place>& places) {
  const OpTable ops(function);
  ByteWriter to;
  to.string(version());
  to.string(function.metadata);
  ops.write(to);
  to.u32(count(function.constants.size()));
  for (size_t i = 0; i < function.constants.size(); ++i) {
    const Array& a = function.constants[i];
    put(to, Aval{a.shape(), a.dtype()});
    to.u64(places[i].at);
    to.u64(static_cast<uint64_t>(a.nbytes()));
    to.u32(places[i].crc);
  }
  to.u32(count(function.traces.size()));
  for (const ExportedTrace& trace : function.traces) {
    const ByteWriter body = trace_bytes(trace, ops);
    to.u64(body.size());
    to.append(body);
  }
  return to;
}

Array row_major(const Array& a) {
  if (evaluated_storage(a).row_major) return a;
  static const OpHandle contiguous("contiguous");
  return contiguous({a});
}

}  // namespace

uint8_t code_of(const OpDef& op, const AttrField& field) {
  static constexpr std::string_view kTypes[] = {"bool", "int", "float", "str",    "dtype",
                                                "ints", "dim", "shape", "scalar", "program"};
  for (size_t i = 0; i < std::size(kTypes); ++i)
    if (field.type == kTypes[i]) return static_cast<uint8_t>(i);
  throw TransformError({.op = op.name,
                        .got = "this op cannot be exported: its attribute " + field.name + " is of type " + field.type,
                        .accepts = "ops whose attributes are numbers, texts, shapes and programs"});
}

void write(const ExportedFunction& function, const std::string& path) {
  std::vector<Place> places(function.constants.size());
  const uint64_t table_bytes = tables(function, places).size();
  uint64_t end = kHeaderBytes + table_bytes;
  for (size_t i = 0; i < places.size(); ++i) {
    places[i].at = aligned(end);
    end = places[i].at + static_cast<uint64_t>(function.constants[i].nbytes());
  }
  io::OutputFile file("export_function", path);
  for (size_t i = 0; i < places.size(); ++i) {
    const Array a = row_major(function.constants[i]);
    const auto bytes = static_cast<uint64_t>(a.nbytes());
    if (bytes == 0) continue;
    const char* data = evaluated_storage(a).data();
    places[i].crc = io::crc32(data, bytes);
    file.write(places[i].at, data, bytes);
  }
  const ByteWriter table = tables(function, places);
  ByteWriter head;
  for (const char c : kMagic) head.u8(static_cast<uint8_t>(c));
  head.u32(kVersion);
  head.u32(0);  // flags
  head.u64(end);
  head.u64(table_bytes);
  head.u32(io::crc32(table.bytes().data(), table.size()));
  head.zeros(kHeaderBytes - 4 - head.size());
  head.u32(io::crc32(head.bytes().data(), head.size()));
  head.append(table);
  file.write(0, head.bytes().data(), head.size());
  file.commit();
}

}  // namespace plait::export_format
