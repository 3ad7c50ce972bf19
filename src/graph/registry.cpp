#include "graph/registry.h"

#include <algorithm>
#include <mutex>

#include "graph/checks.h"
#include "graph/core_attrs.h"
#include "graph/elementwise.h"

namespace plait {
namespace {

void (*fill_registry)(OpRegistry&) = nullptr;

/// "elementwise" of ".../src/ops/elementwise/exp.cpp", and the path from src/ on.
std::string source_file(const std::source_location& at) {
  const std::string path = at.file_name();
  const size_t p = path.rfind("src/");
  return p == std::string::npos ? path.substr(path.rfind('/') + 1) : path.substr(p);
}
std::string family_of(const std::source_location& at) {
  const std::string file = source_file(at);
  const size_t from = std::string("src/ops/").size();
  const size_t to = file.find('/', from);
  return file.starts_with("src/ops/") && to != std::string::npos ? file.substr(from, to - from) : "core";
}

Avals infer_elementwise(const OpDef& op, std::span<const Aval> in) {
  Aval out = in[0];
  for (size_t i = 1; i < in.size(); ++i) {
    if (!(in[i].shape == out.shape)) out.shape = broadcast_shapes(op.name, out.shape, in[i].shape);
  }
  if (op.mixed) out.dtype = in.back().dtype;
  if (op.result) out.dtype = op.result(out.dtype);
  return {out};
}

// The product of a cotangent (or tangent) with a partial derivative, back in the operand's dtype and shape.
Array times(const Array& g, const Array& partial) {
  static const OpHandle mul("multiply");
  return elementwise(*mul, {g, partial});
}

Array sum_terms(const Arrays& terms) {
  static const OpHandle add("add");
  Array total;
  for (const Array& t : terms) total = total.defined() ? elementwise(*add, {total, t}) : t;
  return total;
}

using Partials = std::vector<std::function<Array(const Array& g, std::span<const Array> x, const Array& y)>>;

void set_rules(OpDef& def, Partials partials) {
  def.vjp = [partials](const AttrsBase*, const VjpArgs& at) {
    Grads grads(at.node.inputs.size());
    const Array y = at.output();
    for (size_t i = 0; i < grads.size(); ++i) {
      if (!at.needed[i] || !partials[i]) continue;
      const Array g = partials[i](at.cotangent(), at.node.inputs, y);
      grads[i] = sum_to_shape(converted(g, at.input_dtype(static_cast<int>(i))), at.input_shape(static_cast<int>(i)));
    }
    return grads;
  };
  def.jvp = [partials](const AttrsBase*, const JvpArgs& at) {
    static const OpHandle broadcast("broadcast_to");
    Arrays terms;
    for (size_t i = 0; i < at.inputs.size(); ++i) {
      if (!at.tangents[i].defined() || !partials[i]) continue;
      terms.push_back(partials[i](at.tangents[i], at.inputs, at.output()));
    }
    Array total = sum_terms(terms);
    if (total.defined() && !(total.shape() == at.output().shape()))
      total = broadcast(BroadcastToAttrs{at.output().shape()}, {total});
    return Arrays{total.defined() ? converted(total, at.output().dtype()) : total};
  };
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\t': out += "\\t"; break;
      default: out += c;
    }
  }
  return out + "\"";
}

std::string dtype_list(DTypes set) {
  std::string out = "[";
  for (int d = 0; d < kDTypeCount; ++d)
    if (is_in(static_cast<DType>(d), set))
      out += (out.size() > 1 ? ", " : "") + quoted(std::string(name_of(static_cast<DType>(d))));
  return out + "]";
}

}  // namespace

ElementwiseBuilder::ElementwiseBuilder(OpDef& def, FunctionDef& function) : def_(&def), function_(&function) {
  OpDef* op = &def;
  def.infer = [op](const AttrsBase*, std::span<const Aval> in) { return infer_elementwise(*op, in); };
  def.vmap = [op](const AttrsBase*, const VmapArgs& at) { return vmap_elementwise(*op, Ref<AttrsBase>(), at); };
  function.primitive = def.name;
  function.generated = true;
}

ElementwiseBuilder& ElementwiseBuilder::summary(std::string text) {
  def_->summary = text;
  function_->summary = std::move(text);
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::input(std::string name, DTypes dtypes) {
  def_->inputs.push_back({std::move(name), dtypes, ""});
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::mixed() {
  def_->mixed = true;
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::floats() {
  def_->floats = true;
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::result(DType dtype) {
  def_->result = [dtype](DType) { return dtype; };
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::result(std::function<DType(DType)> rule) {
  def_->result = std::move(rule);
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::lower(ir::Val (*fn)(ir::Val)) {
  def_->lower = [fn](ir::Builder&, std::span<const ir::Val> in, const AttrsBase*, DType) { return fn(in[0]); };
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::lower(ir::Val (*fn)(ir::Val, ir::Val)) {
  def_->lower = [fn](ir::Builder&, std::span<const ir::Val> in, const AttrsBase*, DType) { return fn(in[0], in[1]); };
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::lower(ir::Val (*fn)(ir::Val, ir::Val, ir::Val)) {
  def_->lower = [fn](ir::Builder&, std::span<const ir::Val> in, const AttrsBase*, DType) {
    return fn(in[0], in[1], in[2]);
  };
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::derivative(Array (*fn)(const Array& x, const Array& y)) {
  set_rules(*def_, {[fn](const Array& g, std::span<const Array> x, const Array& y) { return times(g, fn(x[0], y)); }});
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::partials(std::vector<Partial> fns) {
  Partials rules;
  for (Partial fn : fns) {
    if (fn == nullptr) {
      rules.emplace_back();
      continue;
    }
    rules.emplace_back([fn](const Array& g, std::span<const Array> x, const Array& y) { return times(g, fn(x, y)); });
  }
  set_rules(*def_, std::move(rules));
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::pieces(std::vector<Piece> fns) {
  Partials rules;
  for (Piece fn : fns) {
    if (fn == nullptr) {
      rules.emplace_back();
      continue;
    }
    rules.emplace_back(fn);
  }
  set_rules(*def_, std::move(rules));
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::linear(std::vector<double> factors) {
  Partials rules;
  for (double factor : factors) {
    rules.emplace_back([factor](const Array& g, std::span<const Array>, const Array&) {
      static const OpHandle negative("negative");
      if (factor == 1) return g;
      if (factor == -1) return elementwise(*negative, {g});
      return times(g, Array(Scalar(factor), g.dtype()));
    });
  }
  set_rules(*def_, std::move(rules));
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::not_differentiable(std::string why) {
  def_->not_differentiable = why;
  function_->differentiable = std::move(why);
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::signature(std::string text) {
  function_->signature = std::move(text);
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::method(std::string text) {
  function_->method = std::move(text);
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::alias(std::string name) {
  function_->aliases.push_back(std::move(name));
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::details(std::string text) {
  function_->details = std::move(text);
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::oracle(std::string expression) {
  function_->oracle = std::move(expression);
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::domain(std::string pair) {
  function_->domain = std::move(pair);
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::sample(std::string inputs, std::string keywords) {
  function_->samples.push_back({std::move(inputs), std::move(keywords), ""});
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::rejects(std::string inputs, std::string keywords, std::string error) {
  function_->samples.push_back({std::move(inputs), std::move(keywords), std::move(error)});
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::internal() {
  function_->name.clear();  // the schema leaves nameless functions out
  return *this;
}
ElementwiseBuilder& ElementwiseBuilder::hand_written() {
  function_->generated = false;
  return *this;
}

OpDef& OpRegistry::add_def(std::string name, OpKind kind, const std::source_location& at) {
  check_internal(!by_name_.contains(name), ("op registered twice: " + name).c_str());
  ops_.push_back(std::make_unique<OpDef>());
  OpDef& def = *ops_.back();
  def.name = std::move(name);
  def.id = static_cast<uint32_t>(ops_.size());
  def.kind = kind;
  def.file = source_file(at);
  by_name_[def.name] = &def;
  return def;
}

FunctionDef& OpRegistry::add_function(std::string name, const std::source_location& at) {
  functions_.push_back(std::make_unique<FunctionDef>());
  FunctionDef& def = *functions_.back();
  def.name = std::move(name);
  def.module = "core";
  def.family = family_of(at);
  return def;
}

ElementwiseBuilder OpRegistry::elementwise(std::string name, std::source_location at) {
  FunctionDef& function = add_function(name, at);
  return ElementwiseBuilder(add_def(std::move(name), OpKind::elementwise, at), function);
}

FunctionBuilder OpRegistry::function(std::string name, std::source_location at) {
  return FunctionBuilder(add_function(std::move(name), at));
}

namespace {

Avals infer_reduction(const ReduceAttrs& attrs, std::span<const Aval> in) {
  Aval out{.shape = {}, .dtype = in[0].dtype};
  for (int i = 0; i < in[0].shape.rank(); ++i) {
    const bool reduced = std::binary_search(attrs.axes.begin(), attrs.axes.end(), i);
    if (!reduced) out.shape.push_back(in[0].shape[i]);
    if (reduced && attrs.keepdims) out.shape.push_back(1);
  }
  return {out};
}

const char* check_reduction(const ReduceAttrs& attrs, std::span<const Aval> in) {
  return are_sorted_axes(attrs.axes, in[0].shape.rank()) ? nullptr : "axes of the array, sorted and each once";
}

std::string described(std::span<const Aval> in) {
  std::string out;
  for (const Aval& a : in) out += (out.empty() ? "" : ", ") + std::string(name_of(a.dtype)) + to_string(a.shape);
  return out;
}

std::string described(const OpDef& op, const AttrsBase* attrs) {
  std::string out;
  if (attrs == nullptr) return out;
  for (const auto& field : op.attrs) out += ", " + field->name + " " + to_string(field->get(attrs->data()));
  return out;
}

// What elementwise() makes sure of; null when it holds.
const char* check_elementwise(const OpDef& op, std::span<const Aval> in) {
  for (size_t i = op.mixed ? 2 : 1; i < in.size(); ++i)
    if (in[i].dtype != in[i - 1].dtype) return "operands of one dtype";
  if (op.floats && !is_inexact(in[0].dtype)) return "floats";
  return nullptr;
}

}  // namespace

void check_operands(const OpDef& op, const AttrsBase* attrs, std::span<const Aval> in) {
  const auto reject = [&](std::string accepts) {
    throw ArgumentError({.op = op.name,
                         .got = "operands (" + described(in) + ")" + described(op, attrs),
                         .accepts = std::move(accepts),
                         .where = describe_source(current_source())});
  };
  const size_t wanted = op.inputs.size();
  if (op.variadic ? in.size() < wanted : in.size() != wanted)
    reject(std::to_string(wanted) + (op.variadic ? " operands or more" : " operands"));
  for (size_t i = 0; i < in.size(); ++i) {
    const InputSpec& spec = op.inputs[std::min(i, wanted - 1)];
    if (!is_in(in[i].dtype, spec.dtypes)) reject("another dtype of operand " + spec.name);
  }
  const char* accepts = nullptr;
  if (op.check) {
    accepts = op.check(attrs, in);
  } else if (op.kind == OpKind::elementwise) {
    accepts = check_elementwise(op, in);
  } else if (op.kind != OpKind::constant) {
    throw TransformError({.op = op.name,
                          .got = "this op has no check of its operands, so files cannot hold it",
                          .accepts = "ops with .check(...) in their definition",
                          .where = describe_source(current_source())});
  }
  if (accepts != nullptr) reject(accepts);
}

bool attrs_described(const OpDef& op) {
  std::vector<AttrPlace> places = op.attr_places;
  std::sort(places.begin(), places.end(), [](const AttrPlace& a, const AttrPlace& b) { return a.offset < b.offset; });
  places.push_back({op.attrs_size, 0, op.attrs_align});
  size_t end = 0;
  for (const AttrPlace& place : places) {
    if (place.offset >= end + place.align) return false;  // more than padding lies between
    end = place.offset + place.size;
  }
  return true;
}

OpBuilder<ReduceAttrs> OpRegistry::reduction(std::string name, ir::Op op, std::source_location at) {
  OpDef& def = add<ReduceAttrs>(std::move(name), OpKind::reduction, at);
  def.reduce = op;
  OpDef* self = &def;
  def.vmap = [self](const AttrsBase* attrs, const VmapArgs& args) {
    ReduceAttrs shifted = *static_cast<const ReduceAttrs*>(attrs->data());
    for (int& axis : shifted.axes) ++axis;
    return VmapResult{{make(*self, shifted, {batch_first(args, 0)})}, {0}};
  };
  OpBuilder<ReduceAttrs> builder(def);
  builder.attr("axes", &ReduceAttrs::axes, "axes to combine, sorted and not negative")
      .attr("keepdims", &ReduceAttrs::keepdims, "combined axes stay with extent 1")
      .infer(infer_reduction)
      .check(check_reduction);
  return builder;
}

const OpDef* OpRegistry::find(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : it->second;
}

std::string OpRegistry::schema() const {
  static constexpr const char* kinds[] = {"elementwise", "reduction", "view",        "opaque",
                                          "control",     "constant",  "placeholder", "alias"};
  std::string out = "{\n \"primitives\": [\n";
  const auto sorted_by_name = [](const auto& list) {
    std::vector<std::remove_reference_t<decltype(*list[0])>*> sorted;
    for (const auto& p : list)
      if (!p->name.empty()) sorted.push_back(p.get());
    std::sort(sorted.begin(), sorted.end(), [](auto* a, auto* b) {
      if constexpr (requires { a->module; })
        if (a->name == b->name) return a->module < b->module;  // linalg.diagonal behind diagonal
      return a->name < b->name;
    });
    return sorted;
  };
  const char* separator = "";
  for (const OpDef* op : sorted_by_name(ops_)) {
    out += std::string(separator) + "  {\"name\": " + quoted(op->name) + ", \"kind\": \"" +
           kinds[static_cast<int>(op->kind)] + "\", \"file\": " + quoted(op->file) +
           ",\n   \"summary\": " + quoted(op->summary) + ",\n   \"inputs\": [";
    for (size_t i = 0; i < op->inputs.size(); ++i) {
      out += std::string(i ? ", " : "") + "{\"name\": " + quoted(op->inputs[i].name) +
             ", \"dtypes\": " + dtype_list(op->inputs[i].dtypes) + ", \"doc\": " + quoted(op->inputs[i].doc) + "}";
    }
    out += std::string("], \"variadic\": ") + (op->variadic ? "true" : "false") +
           ", \"effect\": " + (op->effect ? "true" : "false") + ",\n   \"attrs\": [";
    for (size_t i = 0; i < op->attrs.size(); ++i) {
      const AttrField& f = *op->attrs[i];
      out += std::string(i ? ", " : "") + "{\"name\": " + quoted(f.name) + ", \"type\": " + quoted(f.type) +
             ", \"bound\": " + (f.bound ? "true" : "false") + ", \"doc\": " + quoted(f.doc) + "}";
    }
    out += std::string("],\n   \"vjp\": ") + (op->vjp ? "true" : "false") +
           ", \"jvp\": " + (op->jvp ? "true" : "false") + ", \"vmap\": " + (op->vmap ? "true" : "false") +
           ", \"not_differentiable\": " + quoted(op->not_differentiable) + ", \"no_vmap\": " + quoted(op->no_vmap) +
           "}";
    separator = ",\n";
  }
  out += "\n ],\n \"functions\": [\n";
  separator = "";
  for (const FunctionDef* f : sorted_by_name(functions_)) {
    out += std::string(separator) + "  {\"name\": " + quoted(f->name) + ", \"module\": " + quoted(f->module) +
           ", \"family\": " + quoted(f->family) + ",\n   \"signature\": " + quoted(f->signature) +
           ",\n   \"method\": " + quoted(f->method) + ", \"aliases\": [";
    for (size_t i = 0; i < f->aliases.size(); ++i) out += (i ? ", " : "") + quoted(f->aliases[i]);
    out += "],\n   \"summary\": " + quoted(f->summary) + ",\n   \"details\": " + quoted(f->details) +
           ",\n   \"oracle\": " + quoted(f->oracle) + ", \"domain\": " + quoted(f->domain) +
           ", \"differentiable\": " + quoted(f->differentiable) + ",\n   \"primitive\": " + quoted(f->primitive) +
           ", \"generated\": " + (f->generated ? "true" : "false") + ", \"samples\": [";
    for (size_t i = 0; i < f->samples.size(); ++i)
      out += std::string(i ? ", " : "") + "{\"inputs\": " + quoted(f->samples[i].inputs) +
             ", \"keywords\": " + quoted(f->samples[i].keywords) + ", \"error\": " + quoted(f->samples[i].error) + "}";
    out += "]}";
    separator = ",\n";
  }
  return out + "\n ]\n}\n";
}

void set_registry_source(void (*fill)(OpRegistry&)) { fill_registry = fill; }

const OpRegistry& registry() {
  static const OpRegistry* all = [] {
    check_internal(fill_registry != nullptr, "no ops were linked in");
    auto* ops = new OpRegistry;
    fill_registry(*ops);
    return ops;
  }();
  return *all;
}

OpHandle::OpHandle(std::string_view name) : def_(registry().find(name)) {
  check_internal(def_ != nullptr, ("no primitive named " + std::string(name)).c_str());
}

Array VjpArgs::output(int i) const {
  return Array(Ref<Node>::share(const_cast<Node*>(&node)), static_cast<uint32_t>(i));
}

}  // namespace plait
