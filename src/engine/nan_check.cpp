#include "engine/nan_check.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <complex>
#include <cstdlib>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/dispatch.h"
#include "engine/devices.h"
#include "engine/fuse.h"
#include "graph/core_attrs.h"
#include "graph/op.h"
#include "memory/residency.h"

namespace plait {
namespace {

constinit thread_local debug::NanCheck of_thread;
constinit thread_local bool quiet = false;  // while a culprit is looked for

debug::NanCheck of_process() {
  const char* value = std::getenv("PLAIT_CHECK_NAN");
  const std::string_view text = value ? value : "";
  if (text.empty() || text == "0") return {};
  return {.nan = true,
          .inf = text.find("inf") != std::string_view::npos,
          .deep = text.find("deep") != std::string_view::npos};
}

}  // namespace

debug::NanCheck debug::nan_check() {
  static const NanCheck process = of_process();
  if (quiet) return {};
  return {process.nan || of_thread.nan, process.inf || of_thread.inf, process.deep || of_thread.deep};
}

debug::NanCheck debug::set_nan_check(NanCheck check) { return std::exchange(of_thread, check); }

namespace engine {
namespace {

// --- one bool for all elements, computed where they lie ----------------------------------------------------------------

// Complex numbers are looked at as pairs.
DType part_of(DType dtype) { return dtype == DType::complex64 ? DType::float32 : dtype; }

std::unique_ptr<CompiledRegion> make_detector(Place place, DType dtype, bool inf) {
  ir::Builder builder;
  RegionProgram program;
  program.rank = program.row_rank = 1;
  program.inputs.push_back({dtype, ir::Level::row});
  const ir::Val x = builder.input(0, dtype, ir::Level::row);
  const ir::Val bad = inf ? bit_not(is_finite(x)) : is_nan(x);
  const ir::Val any = builder.reduce(ir::Op::reduce_max, bad);
  program.outputs.push_back({any.id, DType::bool_, ir::Level::outer});
  program.code = builder.take();
  return compile_region_for(place, std::move(program));
}

const CompiledRegion& detector(Place place, DType dtype, bool inf) {
  static std::mutex mutex;
  static auto* detectors = new std::unordered_map<int, std::unique_ptr<CompiledRegion>>;
  const std::lock_guard lock(mutex);
  auto& region = (*detectors)[static_cast<int>(dtype) * 4 + (place != kCpu) * 2 + inf];
  if (!region) region = make_detector(place, dtype, inf);
  return *region;
}

// Row-major elements. Waits for the device that makes them.
bool any_bad(const Storage& s, const Aval& aval, Place place, bool inf, memory::Where where) {
  const int64_t n = aval.shape.count_value() * (aval.dtype == DType::complex64 ? 2 : 1);
  if (n == 0) return false;
  if (s.buffer->host_current()) place = kCpu;  // an operation that the device has no kernel for
  RegionBinding binding;
  binding.extents.push_back(n);
  binding.inputs.resize(1);
  binding.inputs[0].strides.push_back(1);
  binding.outputs.resize(1);
  binding.outputs[0].strides.push_back(0);
  bool found = false;
  Ref<Buffer> answer;
  void* from = nullptr;
  if (place == kCpu) {
    from = memory::Residency::on_host(*s.buffer, where);
    binding.outputs[0].data = &found;
  } else {
    binding.queue = queue_of(place);
    answer = memory::allocate_on(binding.queue, 1);
    from = memory::Residency::on_queue(*s.buffer, binding.queue, where);
    binding.outputs[0].data = memory::Residency::on_queue(*answer, binding.queue, where);
  }
  binding.inputs[0].data = static_cast<char*>(from) + s.offset;
  detector(place, part_of(aval.dtype), inf).run(binding);
  return answer ? *static_cast<const bool*>(memory::Residency::on_host(*answer, where)) : found;
}

// --- elements on the host ----------------------------------------------------------------------------------------------

using Index = std::vector<int64_t>;

template <class T>
bool is_bad(T x, bool inf) {
  return inf ? !std::isfinite(x) : std::isnan(x);
}
bool is_bad(float16_t x, bool inf) { return is_bad(static_cast<float>(x), inf); }
bool is_bad(bfloat16_t x, bool inf) { return is_bad(static_cast<float>(x), inf); }
bool is_bad(std::complex<float> x, bool inf) { return is_bad(x.real(), inf) || is_bad(x.imag(), inf); }

// Calls f(element, index) in row-major order.
template <class T, class F>
void for_each(const Array& a, F&& f) {
  const Storage& s = evaluated_storage(a);
  const std::vector<int64_t> extents = a.shape().values();
  if (a.size() == 0) return;
  Index at(extents.size());
  const T* element = reinterpret_cast<const T*>(s.data());
  for (;;) {
    f(*element, at);
    size_t axis = extents.size();
    while (axis-- > 0) {
      element += s.strides[axis];
      if (++at[axis] < extents[axis]) break;
      element -= s.strides[axis] * extents[axis];
      at[axis] = 0;
    }
    if (axis == static_cast<size_t>(-1)) return;
  }
}

template <class F>
void dispatch_inexact(DType dtype, F&& f) {
  dispatch(dtype, [&]<class T>() {
    if constexpr (!std::is_integral_v<T>) f.template operator()<T>();
  });
}

struct Bad {
  int64_t count = 0;
  Index first;
};
Bad bad_elements(const Array& a, bool inf) {
  Bad bad;
  dispatch_inexact(a.dtype(), [&]<class T>() {
    for_each<T>(a, [&](T x, const Index& at) {
      if (is_bad(x, inf) && bad.count++ == 0) bad.first = at;
    });
  });
  return bad;
}

// The same array with zeros for what is bad.
Array repaired(const Array& a, bool inf) {
  const Aval aval{a.shape(), a.dtype()};
  Storage to = allocate_storage(aval);
  dispatch_inexact(a.dtype(), [&]<class T>() {
    T* out = reinterpret_cast<T*>(to.data());
    for_each<T>(a, [&](T x, const Index&) { *out++ = is_bad(x, inf) ? T() : x; });
  });
  return make_evaluated(std::move(to), aval);
}

// --- words -------------------------------------------------------------------------------------------------------------

std::string text_of(double x) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, static_cast<float>(x) == x ? float(x) : x);
  return {text, end.ptr};
}
template <class T>
std::string text_of_element(T x) {
  if constexpr (std::is_same_v<T, std::complex<float>>)
    return text_of(x.real()) + (std::signbit(x.imag()) ? "-" : "+") + text_of(std::abs(x.imag())) + "j";
  else if constexpr (std::is_same_v<T, bool>)
    return x ? "true" : "false";
  else if constexpr (std::is_integral_v<T>)
    return std::to_string(x);
  else if constexpr (std::is_same_v<T, double>)
    return text_of(x);
  else
    return text_of(static_cast<float>(x));
}

std::string text_of(const Index& at) {
  std::string text = "[";
  for (size_t i = 0; i < at.size(); ++i) text += (i ? ", " : "") + std::to_string(at[i]);
  return text + "]";
}

// The element of an operand that an elementwise op reads for the element `at` of its result.
std::string element_for(const Array& a, const Index& at) {
  const Storage& s = evaluated_storage(a);
  int64_t offset = 0;
  const size_t rank = s.strides.size();
  for (size_t i = 0; i < rank; ++i)
    if (a.shape()[i].value() != 1) offset += at[at.size() - rank + i] * s.strides[i];
  return dispatch(a.dtype(), [&]<class T>() { return text_of_element(reinterpret_cast<const T*>(s.data())[offset]); });
}

std::string range_of(const Array& a) {
  std::string text = "of shape " + to_string(a.shape());
  dispatch(a.dtype(), [&]<class T>() {
    if constexpr (!std::is_same_v<T, bool> && !std::is_same_v<T, std::complex<float>>) {
      using Wide = std::conditional_t<std::is_integral_v<T>, T, std::conditional_t<sizeof(T) == 8, double, float>>;
      bool any = false;
      Wide low{}, high{};
      for_each<T>(a, [&](T x, const Index&) {
        const auto wide = static_cast<Wide>(x);
        low = any ? std::min(low, wide) : wide;
        high = any ? std::max(high, wide) : wide;
        any = true;
      });
      if (any) text += " from " + text_of_element(low) + " to " + text_of_element(high);
    }
  });
  return text;
}

std::string name_of_operand(const OpDef& op, size_t i) {
  if (op.inputs.empty()) return "operand " + std::to_string(i);
  std::string name = op.inputs[std::min(i, op.inputs.size() - 1)].name;
  if (op.variadic && i + 1 >= op.inputs.size()) name += "[" + std::to_string(i + 1 - op.inputs.size()) + "]";
  return name;
}

const char* kind_of(bool inf) { return inf ? "NaN or infinite" : "NaN"; }

std::string count_of(const Bad& bad, const Array& a, const char* what, bool inf) {
  if (a.size() == 1) return std::string(what) + " is " + kind_of(inf);
  return std::to_string(bad.count) + " of " + std::to_string(a.size()) + " elements of " + what + " are " +
         kind_of(inf) + ", the first at " + text_of(bad.first);
}

bool computes(const OpDef& op) { return op.kind != OpKind::view && op.kind != OpKind::constant && !passes_on(&op); }

Stream stream_of(const Node& node) { return {node.stream, device_of_stream(node.stream)}; }

struct Quiet {
  bool before = std::exchange(quiet, true);
  ~Quiet() { quiet = before; }
};

}  // namespace

// --- while a plan runs -------------------------------------------------------------------------------------------------

void NanWatch::after(const Step& step, Values values) {
  const auto look_at = [&](ValueId v) {
    const Graph::Value& value = g_.values[v];
    const Aval& aval = g_.aval(v);
    if (!is_inexact(aval.dtype) || value.node->op->kind == OpKind::constant) return;  // a number that the user wrote
    if (any_bad(values(v), aval, step.place, check_.inf, [&] { return describe_source(value.node->source); }))
      throw found(step, v, values);
  };
  if (step.kind == Step::Kind::region) {
    for (const auto& out : plan_.regions[step.region].outputs) look_at(out.value);
  } else if (step.kind != Step::Kind::view) {
    for (size_t k = 0; k < g_.nodes[step.node]->avals.size(); ++k)
      look_at(g_.first_value[step.node] + static_cast<ValueId>(k));
  }
}

Ref<Node> NanWatch::origin_of(ValueId v) const {
  for (;;) {
    const Graph::Value& value = g_.values[v];
    const OpKind kind = value.node->op->kind;
    if (value.leaf || kind == OpKind::constant) return Ref<Node>::share(value.node);
    if (passes_on(value.node->op)) {
      v = aliased(g_, v);
      continue;
    }
    if (kind != OpKind::view) return {};
    v = g_.inputs_of(value.producer)[0];
  }
}

NanFound NanWatch::found(const Step& step, ValueId bad, Values values) const {
  const std::vector<uint32_t> no_nodes;
  const auto& own = step.kind == Step::Kind::region ? plan_.regions[step.region].nodes : no_nodes;
  const auto computed_here = [&](uint32_t node) { return std::binary_search(own.begin(), own.end(), node); };
  const uint32_t last = g_.values[bad].producer;
  // What stands for v: a value in memory, or the node that has to be run again.
  const auto source_of = [&](ValueId v) {
    for (;;) {
      const Graph::Value& value = g_.values[v];
      if (value.leaf || !passes_on(value.node->op) || value.node->op->barrier) return v;
      v = aliased(g_, v);
    }
  };
  const auto in_memory = [&](ValueId v) {
    return g_.values[v].leaf || (!computed_here(g_.values[v].producer) && values(v).buffer);
  };
  std::set<uint32_t> nodes{last};  // in the order of the graph: operands come first
  std::vector<uint32_t> work{last};
  while (!work.empty()) {
    const uint32_t node = work.back();
    work.pop_back();
    for (ValueId v : g_.inputs_of(node)) {
      v = source_of(v);
      if (!in_memory(v) && nodes.insert(g_.values[v].producer).second) work.push_back(g_.values[v].producer);
    }
  }
  NanFound found;
  found.check_ = check_;
  found.output_ = g_.values[bad].output;
  std::unordered_map<uint32_t, int64_t> position;
  for (const uint32_t node : nodes) {
    position.emplace(node, static_cast<int64_t>(found.ops_.size()));
    NanFound::Applied op{Ref<Node>::share(g_.nodes[node]), {}, {}};
    for (ValueId v : g_.inputs_of(node)) {
      v = source_of(v);
      const Graph::Value& value = g_.values[v];
      if (in_memory(v))
        op.operands.push_back({-1, make_evaluated(values(v), g_.aval(v)), 0, origin_of(v)});
      else
        op.operands.push_back({position.at(value.producer), Array(), value.output, origin_of(v)});
    }
    found.ops_.push_back(std::move(op));
  }
  if (step.kind != Step::Kind::region)
    for (size_t k = 0; k < g_.nodes[last]->avals.size(); ++k) {
      const ValueId v = g_.first_value[last] + static_cast<ValueId>(k);
      found.ops_.back().results.push_back(make_evaluated(values(v), g_.aval(v)));
    }
  return found;
}

// --- afterwards --------------------------------------------------------------------------------------------------------

struct NanFound::Finding {
  int64_t op = -1;
  Arrays operands;
  Array result;
  Bad bad;
};

// The operations run in order, with some results repaired: the first that is bad, and how bad the last one still is.
struct NanFound::Attempt {
  std::vector<Arrays> results;
  Finding first;
  int64_t left = 0;
};

NanFound::Attempt NanFound::attempt(const std::vector<bool>& repair) const {
  Attempt made;
  for (size_t i = 0; i < ops_.size(); ++i) {
    const Applied& op = ops_[i];
    SmallVector<Array, 2> operands;
    for (const Operand& from : op.operands)
      operands.push_back(from.op < 0 ? from.value : made.results[static_cast<size_t>(from.op)][from.output]);
    Arrays results = op.results;
    if (results.empty()) {
      const SourceScope line(op.like->source);
      const StreamScope stream(stream_of(*op.like));
      results = make_all(*op.like->op, op.like->attrs, operands);
      evaluator().eval(results);
    }
    for (Array& result : results) {
      if (!computes(*op.like->op) || !is_inexact(result.dtype())) continue;
      const bool is_last = i + 1 == ops_.size() && result.same(results[output_]);
      if (repair[i]) result = repaired(result, check_.inf);
      if (made.first.op >= 0 && !is_last) continue;
      Bad bad = bad_elements(result, check_.inf);
      if (is_last) made.left = bad.count;
      if (bad.count > 0 && made.first.op < 0)
        made.first = {static_cast<int64_t>(i), Arrays(operands.begin(), operands.end()), result, std::move(bad)};
    }
    made.results.push_back(std::move(results));
  }
  return made;
}

// The first operation with a NaN that matters: without it the result has fewer. One that a `where` leaves out does not.
NanFound::Finding NanFound::culprit() const {
  std::vector<bool> repair(ops_.size());
  Attempt before = attempt(repair);
  while (before.first.op >= 0 && before.left > 0) {
    if (before.first.op + 1 == static_cast<int64_t>(ops_.size())) return before.first;
    repair[static_cast<size_t>(before.first.op)] = true;
    Attempt without = attempt(repair);
    if (without.left < before.left) return before.first;
    before = std::move(without);
  }
  return {};
}

void NanFound::raise() const {
  const Quiet not_again;
  Finding finding;
  try {
    finding = culprit();
  } catch (const OutOfMemory&) {  // no room for the single results: the step as a whole is named
  }
  if (finding.op < 0) raise_unexplained();
  raise(finding);
}

void NanFound::raise(const Finding& finding) const {
  const Applied& applied = ops_[static_cast<size_t>(finding.op)];
  const OpDef& op = *applied.like->op;
  const bool elementwise = op.kind == OpKind::elementwise;
  std::string got = count_of(finding.bad, finding.result, "the result", check_.inf);
  std::string hint;
  std::string operands;
  for (size_t i = 0; i < finding.operands.size(); ++i) {
    const Array& a = finding.operands[i];
    const std::string name = name_of_operand(op, i);
    operands += (i ? ", " : "") + name + (elementwise ? " = " + element_for(a, finding.bad.first) : " " + range_of(a));
    const Bad already = is_inexact(a.dtype()) ? bad_elements(a, check_.inf) : Bad();
    if (already.count == 0 || !hint.empty()) continue;
    // Operands that were computed in this evaluation are without: this one was there before, or is a number.
    hint = "the operand " + name + " was so before: " + count_of(already, a, "it", check_.inf);
    const Ref<Node>& origin = applied.operands[i].origin;
    if (!origin) continue;
    const bool number = origin->op->kind == OpKind::constant && !origin->done();
    const std::string line = describe_source(origin->source);
    if (number) hint += "; it is a number";
    if (!line.empty()) hint += (number ? ", at " : "; it comes from " + origin->op->name + " at ") + line;
  }
  if (!operands.empty()) got += (elementwise ? ", where " : ", with ") + operands;
  got += "; shape " + to_string(finding.result.shape()) + ", dtype " + std::string(name_of(finding.result.dtype()));
  throw NanError({.op = op.name,
                  .got = std::move(got),
                  .accepts = check_.inf ? "finite results" : "results without NaN",
                  .hint = std::move(hint),
                  .where = describe_source(applied.like->source)});
}

// Run one by one the operations show nothing: all that is known is that their last result has it.
void NanFound::raise_unexplained() const {
  std::string names;
  for (const Applied& op : ops_)
    if (computes(*op.like->op)) names += (names.empty() ? "" : "+") + op.like->op->name;
  const Aval& aval = ops_.back().like->avals[output_];
  throw NanError({.op = names,
                  .got = std::string("an element of the result is ") + kind_of(check_.inf) + "; shape " +
                         to_string(aval.shape) + ", dtype " + std::string(name_of(aval.dtype)),
                  .accepts = check_.inf ? "finite results" : "results without NaN",
                  .hint = "PLAIT_CHECK_NAN=deep looks at each operation by itself",
                  .where = describe_source(ops_.back().like->source)});
}

}  // namespace engine
}  // namespace plait
