#include <algorithm>

#include "graph/dims.h"
#include "plait/debug.h"
#include "transforms/control/control.h"

namespace plait::control {

Arrays picked(const Arrays& arrays, const Marks& marks) {
  Arrays out;
  for (size_t i = 0; i < arrays.size(); ++i)
    if (marks[i]) out.push_back(arrays[i]);
  return out;
}

Arrays spread(const Arrays& arrays, const Marks& marks, Arrays into) {
  into.resize(marks.size());
  size_t next = 0;
  for (size_t i = 0; i < marks.size(); ++i)
    if (marks[i]) into[i] = arrays[next++];
  return into;
}

size_t count(const Marks& marks) { return static_cast<size_t>(std::count(marks.begin(), marks.end(), true)); }

Avals avals_of(const Arrays& arrays) {
  Avals out;
  for (const Array& a : arrays) out.push_back({a.shape(), a.dtype()});
  return out;
}

bool by_hand(const Arrays& arrays) {
  return debug::eager() && DimScope::current() == nullptr &&
         std::none_of(arrays.begin(), arrays.end(), [](const Array& a) { return a.node()->abstract; });
}

void check_results(const char* op, const char* what, const Arrays& got, const Arrays& wanted) {
  const std::string where = describe_source(current_source());
  if (got.size() != wanted.size())
    throw ArgumentError({.op = op,
                         .got = std::to_string(got.size()) + " arrays as " + what,
                         .accepts = std::to_string(wanted.size()) + ", one for each",
                         .where = where});
  for (size_t i = 0; i < got.size(); ++i) {
    const std::string name = std::string(what) + ", array " + std::to_string(i) + ",";
    if (got[i].dtype() != wanted[i].dtype())
      throw DTypeError({.op = op,
                        .got = name + " has dtype " + std::string(name_of(got[i].dtype())),
                        .accepts = std::string(name_of(wanted[i].dtype())),
                        .hint = "astype converts; or begin with an array of that dtype",
                        .where = where});
    if (!(got[i].shape() == wanted[i].shape()))
      throw ShapeError({.op = op,
                        .got = name + " has shape " + to_string(got[i].shape()),
                        .accepts = to_string(wanted[i].shape()),
                        .hint = "broadcast_to gives what it begins with the shape of what follows",
                        .where = where});
  }
}

Array checked_predicate(const char* op, const Array& predicate) {
  if (predicate.rank() != 0)
    throw ShapeError({.op = op,
                      .got = "a predicate of shape " + to_string(predicate.shape()),
                      .accepts = "a 0-d bool or number",
                      .hint = "all or any makes one of several; vmap takes a batch of them",
                      .where = describe_source(current_source())});
  return predicate.dtype() == DType::bool_ ? predicate : astype(predicate, DType::bool_);
}

std::vector<int> axes_where(const Marks& batched, int axis) {
  std::vector<int> out;
  for (const bool b : batched) out.push_back(b ? axis : kNotMapped);
  return out;
}

Marks batched_inputs(const VmapArgs& at) {
  Marks out;
  for (const int axis : at.axes) out.push_back(axis != kUnbatched);
  return out;
}

Arrays batched_call(const Function& f, const Arrays& inputs, const Marks& in, const Marks& out, Dim size) {
  if (count(in) == 0) {  // nothing comes with a batch, but results are wanted with one
    Arrays results = f(inputs);
    for (size_t i = 0; i < results.size(); ++i) {
      if (!out[i]) continue;
      Shape shape = results[i].shape();
      shape.insert(shape.begin(), size);
      results[i] = broadcast_to(results[i], shape);
    }
    return results;
  }
  const VmapTrace trace(inputs, axes_where(in, 0));
  return trace.batched(f(trace.inputs()), axes_where(out, 0));
}

Array selected(const Array& conditions, const Array& yes, const Array& no) {
  std::vector<int> ones;
  for (int k = 1; k < yes.rank(); ++k) ones.push_back(k);
  return where(ones.empty() ? conditions : expand_dims(conditions, ones), yes, no);
}

bool agree(std::span<const Aval> a, std::span<const Aval> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Aval& x, const Aval& y) { return x.dtype == y.dtype && x.shape == y.shape; });
}

Avals input_avals(const Node& node) {
  Avals out;
  for (const Array& a : node.inputs) {
    Aval aval{{}, a.dtype()};
    for (const Dim& d : a.shape()) aval.shape.push_back(d.value());
    out.push_back(std::move(aval));
  }
  return out;
}

engine::Repeated bound(const Function& f, const Avals& inputs, size_t held) {
  Arrays slots;
  for (const Aval& aval : inputs) slots.push_back(engine::Repeated::slot(aval));
  Arrays outputs = f(slots);
  return engine::Repeated(std::move(slots), held, std::move(outputs));
}

}  // namespace plait::control
