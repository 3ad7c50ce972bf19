#include <algorithm>
#include <mutex>
#include <optional>

#include "graph/source.h"
#include "io/file.h"
#include "plait/export_function.h"
#include "transforms/export_format.h"
#include "transforms/trace.h"

namespace plait {
namespace {

std::string where() { return describe_source(current_source()); }

/// Positional arguments, then those with names, sorted.
Arrays all_of(const Arrays& args, const NamedArrays& named) {
  Arrays out = args;
  for (const auto& [name, a] : named) out.push_back(a);
  return out;
}

std::vector<std::string> names_of(const NamedArrays& named) {
  std::vector<std::string> out;
  for (const auto& [name, a] : named) out.push_back(name);
  return out;
}

Function flattened(const NamedFunction& f, size_t positional, const std::vector<std::string>& names) {
  return [&f, positional, names](const Arrays& in) {
    NamedArrays named;
    for (size_t i = 0; i < names.size(); ++i) named.emplace(names[i], in[positional + i]);
    return f(Arrays(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(positional)), named);
  };
}

void reject_traced(const char* what) {
  throw TransformError({.op = "export_function",
                        .got = std::string(what) + " under a trace (grad, vmap, compile, ...)",
                        .accepts = "arrays with values of their own",
                        .hint = "export the function that the transform makes",
                        .where = where()});
}

bool is_traced(const Array& a) { return a.node()->level > 0 && !a.is_evaluated(); }

Program traced(const NamedFunction& f, const Arrays& args, const NamedArrays& named) {
  if (DimScope::current() != nullptr) reject_traced("a call");
  const Arrays inputs = all_of(args, named);
  for (const Array& a : inputs) {
    if (is_traced(a)) reject_traced("an argument");
    if (a.shape().size() > kMaxExportedRank)
      throw ShapeError({.op = "export_function",
                        .got = "an argument with " + std::to_string(a.rank()) + " axes",
                        .accepts = "at most " + std::to_string(kMaxExportedRank),
                        .where = where()});
  }
  return Program(flattened(f, args.size(), names_of(named)), inputs);
}

/// The program as a file holds it; adds to `constants`, which are evaluated.
ExportedTrace exported(const Program& program, const NamedArrays& named, bool shapeless, Arrays& constants) {
  ConstantTable table(constants);
  ExportedTrace trace = exported(program, names_of(named), shapeless, table);
  // Traces that the function opens itself are newer than its own.
  const uint64_t level = program.placeholders().empty() ? 0 : program.placeholders()[0].node()->level;
  for (const Array& a : constants)
    if (is_traced(a) && a.node()->level < level) reject_traced("an array that the function uses");
  eval(constants);
  return trace;
}

std::string text_of(const Aval& aval, bool shapeless) {
  std::string out(name_of(aval.dtype));
  if (!shapeless) return out + to_string(aval.shape);
  out += "(";
  for (size_t i = 0; i < aval.shape.size(); ++i) out += i == 0 ? "?" : ", ?";
  return out + (aval.shape.size() == 1 ? ",)" : ")");
}

std::string signature_of(size_t positional, const std::vector<std::string>& names, const std::vector<Aval>& avals,
                         bool shapeless) {
  std::string out = "(";
  for (size_t i = 0; i < avals.size(); ++i) {
    out += i == 0 ? "" : ", ";
    if (i >= positional) out += names[i - positional] + "=";
    out += text_of(avals[i], shapeless);
  }
  return out + ")";
}

std::string signature_of(const ExportedTrace& trace) {
  return signature_of(trace.positional, trace.keywords, trace.inputs, trace.shapeless);
}

std::string signature_of(const Arrays& inputs, size_t positional, const std::vector<std::string>& names) {
  std::vector<Aval> avals;
  for (const Array& a : inputs) avals.push_back({a.shape(), a.dtype()});
  return signature_of(positional, names, avals, false);
}

}  // namespace

// ---- writing --------------------------------------------------------------------------------------------------------

struct FunctionExporter::State {
  std::string path;
  NamedFunction f;
  ExportOptions options;
  std::mutex mutex;
  ExportedFunction function;
  bool closed = false;
};

FunctionExporter::FunctionExporter(std::string path, NamedFunction f, ExportOptions options)
    : state_(std::make_unique<State>()) {
  state_->path = std::move(path);
  state_->f = std::move(f);
  state_->function.metadata = options.metadata;
  state_->options = std::move(options);
}
FunctionExporter::~FunctionExporter() = default;

void FunctionExporter::operator()(const Arrays& args, const NamedArrays& named) {
  const auto check_open = [&] {
    if (state_->closed)
      throw FileError({.op = "exporter", .got = "a call after close", .accepts = "calls before it", .where = where()});
  };
  {
    const std::lock_guard lock(state_->mutex);
    check_open();
  }
  const Program program = traced(state_->f, args, named);  // runs user code: without the lock
  const std::lock_guard lock(state_->mutex);
  check_open();
  ExportedFunction& function = state_->function;
  Arrays constants = function.constants;
  ExportedTrace trace = exported(program, named, state_->options.shapeless, constants);
  const std::string signature = signature_of(trace);
  for (const ExportedTrace& known : function.traces)
    if (signature_of(known) == signature)
      throw FileError({.op = "exporter",
                       .got = "a second trace for " + signature,
                       .accepts = "one for each signature",
                       .where = where()});
  function.traces.push_back(std::move(trace));
  function.constants = std::move(constants);
}

void FunctionExporter::close() {
  const std::lock_guard lock(state_->mutex);
  if (state_->closed) return;
  export_format::write(state_->function, state_->path);
  state_->closed = true;
  state_->function = {};
}

void FunctionExporter::discard() {
  const std::lock_guard lock(state_->mutex);
  state_->closed = true;
  state_->function = {};
}

void export_function(const std::string& path, const NamedFunction& f, const Arrays& args, const NamedArrays& named,
                     const ExportOptions& options) {
  FunctionExporter exporter(path, f, options);
  exporter(args, named);
  exporter.close();
}

void export_function(const std::string& path, const Function& f, const Arrays& args, const ExportOptions& options) {
  export_function(path, [&f](const Arrays& in, const NamedArrays&) { return f(in); }, args, {}, options);
}

// ---- listing --------------------------------------------------------------------------------------------------------

namespace {

/// Names of values in the order in which they are asked for: A to Z, then AA, AB, ...
class ValueNames {
 public:
  TraceListing::Value next(const Aval& aval) {
    std::string name;
    for (size_t n = ++count_; n > 0; n = (n - 1) / 26) name.insert(name.begin(), static_cast<char>('A' + (n - 1) % 26));
    return {name, aval.shape, aval.dtype};
  }

 private:
  size_t count_ = 0;
};

CallAttr::Value listed(const Scalar& v) {
  if (v.kind == Scalar::Kind::boolean) return v.i != 0;
  if (v.kind == Scalar::Kind::integer && !v.is_unsigned) return v.i;
  if (v.kind == Scalar::Kind::floating) return v.re;
  return Array(v);
}

CallAttr::Value listed(const AttrValue& value) {
  return std::visit(
      []<class T>(const T& v) -> CallAttr::Value {
        if constexpr (std::is_same_v<T, Dim>)
          return v.value();
        else if constexpr (std::is_same_v<T, Shape>)
          return v.values();
        else if constexpr (std::is_same_v<T, Scalar>)
          return listed(v);
        else
          return v;
      },
      value);
}

}  // namespace

TraceListing list_function(const NamedFunction& f, const Arrays& args, const NamedArrays& named) {
  Arrays constants;
  const ExportedTrace trace = exported(traced(f, args, named), named, false, constants);
  TraceListing out;
  ValueNames names;
  std::vector<TraceListing::Value> constant_values;
  std::vector<std::vector<TraceListing::Value>> results(trace.steps.size());
  const auto value = [&](const ExportedTrace::Link& link) -> const TraceListing::Value& {
    if (link.from == ExportedTrace::Link::From::input) return out.inputs[link.at];
    if (link.from == ExportedTrace::Link::From::constant) return constant_values[link.at];
    return results[link.at][link.output];
  };
  for (const Aval& in : trace.inputs) out.inputs.push_back(names.next(in));
  for (size_t i = 0; i < trace.keywords.size(); ++i)
    out.named.emplace_back(trace.keywords[i], out.inputs[trace.positional + i].name);
  for (const Array& a : constants) {
    constant_values.push_back(names.next({a.shape(), a.dtype()}));
    out.constants.emplace_back(constant_values.back().name, a);
  }
  for (size_t i = 0; i < trace.steps.size(); ++i) {
    const ExportedTrace::Step& step = trace.steps[i];
    TraceListing::Step listing{step.op->name, {}, {}, {}};
    std::vector<Aval> avals;
    for (const auto& link : step.inputs) {
      listing.inputs.push_back(value(link));
      avals.push_back({listing.inputs.back().shape, listing.inputs.back().dtype});
    }
    for (const Aval& result : step.op->infer(step.attrs.get(), avals)) results[i].push_back(names.next(result));
    listing.outputs = results[i];
    if (step.attrs)
      for (const auto& field : step.op->attrs)
        listing.arguments.emplace_back(field->name, listed(field->get(step.attrs->data())));
    out.steps.push_back(std::move(listing));
  }
  for (const auto& link : trace.results) out.outputs.push_back(value(link));
  return out;
}

// ---- reading --------------------------------------------------------------------------------------------------------

struct ImportedFunction::State {
  ExportedFunction function;
};

ImportedFunction import_function(const std::string& path) {
  const io::InputFile file("import_function", path);
  auto state = std::make_shared<ImportedFunction::State>();
  state->function = export_format::read(
      {path, file.size(), [&](uint64_t at, void* to, uint64_t bytes) { file.read(at, to, bytes); }});
  return ImportedFunction(std::move(state));
}

ImportedFunction import_function_from(std::span<const char> bytes) {
  auto state = std::make_shared<ImportedFunction::State>();
  state->function = export_format::read({"bytes", bytes.size(), [&](uint64_t at, void* to, uint64_t n) {
                                           std::copy_n(bytes.data() + at, n, static_cast<char*>(to));
                                         }});
  return ImportedFunction(std::move(state));
}

const std::string& ImportedFunction::metadata() const { return state_->function.metadata; }

std::vector<std::string> ImportedFunction::signatures() const {
  std::vector<std::string> out;
  for (const ExportedTrace& trace : state_->function.traces) out.push_back(signature_of(trace));
  return out;
}

Arrays ImportedFunction::operator()(const Arrays& args, const NamedArrays& named) const {
  const Arrays inputs = all_of(args, named);
  const std::vector<std::string> names = names_of(named);
  std::string why;
  for (const ExportedTrace& trace : state_->function.traces) {
    if (trace.positional != args.size() || trace.keywords != names) continue;
    const std::string against = why_not(trace, inputs);
    if (against.empty()) return run(trace, state_->function.constants, inputs);
    if (why.empty() && trace.shapeless) why = ": " + against;
  }
  std::string accepts;
  for (const std::string& signature : signatures()) accepts += (accepts.empty() ? "" : " or ") + signature;
  throw ArgumentError({.op = "imported function",
                       .got = "arguments " + signature_of(inputs, args.size(), names) + why,
                       .accepts = accepts.empty() ? "nothing: the file holds no trace" : accepts,
                       .where = where()});
}

}  // namespace plait
