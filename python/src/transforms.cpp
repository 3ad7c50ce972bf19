// Function transforms over trees of arrays.
#include "plait/transforms.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <variant>

#include "bind.h"
#include "derived.h"
#include "plait/ops.h"
#include "plait/random.h"
#include "source.h"
#include "trees.h"

namespace plait::python {
namespace {

/// What a traced function returned, taken apart.
Arrays outputs_of(const char* op, nb::handle result) {
  if (is_array(result.ptr())) return {value_of(result.ptr())};
  const bool several = PyTuple_Check(result.ptr()) || PyList_Check(result.ptr());
  Arrays out;
  if (several) {
    for (nb::handle item : nb::borrow<nb::sequence>(result)) {
      if (!is_array(item.ptr())) break;
      out.push_back(value_of(item.ptr()));
    }
  }
  if (!several || out.size() != nb::len(result))
    throw ArgumentError({.op = op,
                         .got = "a function that returns " + std::string(Py_TYPE(result.ptr())->tp_name),
                         .accepts = "an array, or a tuple or list of arrays"});
  return out;
}

nb::list listed(const Arrays& arrays) {
  nb::list out;
  for (const Array& a : arrays) out.append(nb::cast(a));
  return out;
}

Arrays list_argument(const char* op, nb::handle values) {
  Arrays out;
  for (nb::handle item : nb::borrow<nb::sequence>(values)) {
    if (!is_array(item.ptr())) throw ArgumentError({.op = op, .got = "something that is no array among the arrays"});
    out.push_back(value_of(item.ptr()));
  }
  return out;
}

nb::object call_with(const nb::object& f, const Arrays& arrays) {
  nb::list args;
  for (const Array& a : arrays) args.append(nb::cast(a));
  return nb::steal(PyObject_CallObject(f.ptr(), nb::tuple(args).ptr()));
}

template <class Method>
nb::tuple derivative(const char* op, const nb::object& f, nb::handle primals, nb::handle seeds, Method method) {
  const Arrays given = list_argument(op, primals);
  const Arrays along = list_argument(op, seeds);
  const GradTrace trace(given, transform_of(op, f));
  const Arrays outputs = outputs_of(op, checked(call_with(f, trace.inputs())));
  return nb::make_tuple(listed(outputs), listed((trace.*method)(outputs, along)));
}

// ---- grad -----------------------------------------------------------------------------------------------------------

struct GradTargets {
  std::vector<int> numbers;
  std::vector<std::string> names;
  bool one_number = false;  // the gradient comes alone, not in a tuple
};

GradTargets targets_of(const std::optional<std::variant<int, std::vector<int>>>& argnums,
                       const std::variant<std::string, std::vector<std::string>>& argnames) {
  GradTargets out;
  if (const auto* name = std::get_if<std::string>(&argnames)) {
    out.names.push_back(*name);
  } else {
    out.names = std::get<std::vector<std::string>>(argnames);
  }
  if (argnums) {
    if (const int* number = std::get_if<int>(&*argnums)) {
      out.numbers.push_back(*number);
    } else {
      out.numbers = std::get<std::vector<int>>(*argnums);
      if (out.numbers.empty() && out.names.empty())
        throw ArgumentError({.op = "grad", .got = "no argument number", .accepts = "at least one, or argnames"});
    }
  } else if (out.names.empty()) {
    out.numbers.push_back(0);
  }
  out.one_number = out.numbers.size() == 1;
  for (const int number : out.numbers)
    if (number < 0 || std::count(out.numbers.begin(), out.numbers.end(), number) > 1)
      throw ArgumentError(
          {.op = "grad", .got = "argument number " + std::to_string(number), .accepts = "0 and more, each once"});
  return out;
}

void check_differentiable(const Tree& tree, const std::string& what) {
  if (tree.leaves.empty())
    throw ArgumentError({.op = "grad", .got = what + " holds no array", .accepts = "an array, or a tree of arrays"});
}

nb::object value_and_grad_call(const nb::object& f, const GradTargets& targets, bool only_grad, nb::args args,
                               nb::kwargs kwargs) {
  std::vector<Tree> trees;
  Arrays primals;
  const auto take = [&](nb::handle tree, const std::string& what) {
    trees.push_back(Tree::of(tree));
    check_differentiable(trees.back(), what);
    primals.insert(primals.end(), trees.back().leaves.begin(), trees.back().leaves.end());
  };
  for (const int number : targets.numbers) {
    if (static_cast<size_t>(number) >= args.size())
      throw ArgumentError(
          {.op = "grad",
           .got = "argument number " + std::to_string(number) + " of a call with " + std::to_string(args.size()) +
                  " positional arguments",
           .accepts = args.size() == 0 ? "names, with argnames" : "0 to " + std::to_string(args.size() - 1)});
    take(args[static_cast<size_t>(number)], "argument " + std::to_string(number));
  }
  for (const std::string& name : targets.names) {
    if (!kwargs.contains(name.c_str()))
      throw ArgumentError({.op = "grad",
                           .got = "argument " + name + " was not given by name",
                           .accepts = "a call with " + name + "=..."});
    take(kwargs[name.c_str()], "argument " + name);
  }

  const GradTrace trace(primals, transform_of("grad", f));
  // The function gets trees of its own, so that what it does to them stays inside.
  nb::list traced_args;
  for (nb::handle a : args) traced_args.append(a);
  nb::dict traced_kwargs;
  for (auto [key, value] : kwargs) traced_kwargs[key] = value;
  auto next = trace.inputs().begin();
  const auto traced_tree = [&](const Tree& tree) {
    const Arrays part(next, next + static_cast<std::ptrdiff_t>(tree.leaves.size()));
    next += static_cast<std::ptrdiff_t>(tree.leaves.size());
    return tree.with(part);
  };
  for (size_t i = 0; i < targets.numbers.size(); ++i)
    traced_args[static_cast<size_t>(targets.numbers[i])] = traced_tree(trees[i]);
  for (size_t i = 0; i < targets.names.size(); ++i)
    traced_kwargs[targets.names[i].c_str()] = traced_tree(trees[targets.numbers.size() + i]);
  const nb::object result =
      checked(nb::steal(PyObject_Call(f.ptr(), nb::tuple(traced_args).ptr(), traced_kwargs.ptr())));

  nb::object scalar = result;
  const bool with_others = PyTuple_Check(result.ptr()) != 0;
  if (with_others && nb::len(result) > 0) scalar = result[0];
  if (!is_array(scalar.ptr()))
    throw ArgumentError({.op = "grad",
                         .got = "a function whose " + std::string(with_others ? "first result" : "result") + " is " +
                                Py_TYPE(scalar.ptr())->tp_name,
                         .accepts = "an array with one element, alone or first in a tuple"});
  const Array loss = value_of(scalar.ptr());
  if (loss.size() != 1)
    throw ArgumentError({.op = "grad",
                         .got = "a function whose result has shape " + to_string(loss.shape()),
                         .accepts = "one element",
                         .hint = "sum or mean makes one"});
  if (only_grad && with_others && nb::len(result) > 1)
    throw ArgumentError({.op = "grad",
                         .got = "a function with " + std::to_string(nb::len(result)) + " results",
                         .accepts = "one result",
                         .hint = "value_and_grad passes other results through"});
  const Arrays grads = trace.pull_back({loss}, {ones_like(loss, std::nullopt)});

  auto grad = grads.begin();
  const auto grad_tree = [&](const Tree& tree) {
    const Arrays part(grad, grad + static_cast<std::ptrdiff_t>(tree.leaves.size()));
    grad += static_cast<std::ptrdiff_t>(tree.leaves.size());
    return tree.with(part);
  };
  nb::object positional = nb::none();
  if (targets.one_number) {
    positional = grad_tree(trees[0]);
  } else if (!targets.numbers.empty()) {
    nb::list all;
    for (size_t i = 0; i < targets.numbers.size(); ++i) all.append(grad_tree(trees[i]));
    positional = nb::tuple(all);
  }
  nb::object gradient = positional;
  if (!targets.names.empty()) {
    nb::dict named;
    for (size_t i = 0; i < targets.names.size(); ++i)
      named[targets.names[i].c_str()] = grad_tree(trees[targets.numbers.size() + i]);
    gradient = nb::make_tuple(positional, named);
  }
  return only_grad ? gradient : nb::object(nb::make_tuple(result, gradient));
}

// ---- vmap -----------------------------------------------------------------------------------------------------------

constexpr const char* kAxesAccepted = "None, an int, or a tree of these that matches the arguments";

/// One axis for each array of the tree, in order: an axis stands for the whole tree below it. It counts the array's axes, and
/// `added` more: a result has the batch axis only afterwards.
void spread_axes(nb::handle tree, nb::handle axes, int added, std::vector<int>& into) {
  if (axes.is_none() || PyLong_Check(axes.ptr())) {
    std::vector<PyObject*> arrays;
    collect_arrays(tree, arrays);
    into.insert(into.end(), arrays.size(), axes.is_none() ? kNotMapped : nb::cast<int>(axes));
    // -1 names the last axis: it is told apart from "not mapped" by counting from the front here.
    if (!axes.is_none() && nb::cast<int>(axes) < 0)
      for (size_t i = 0; i < arrays.size(); ++i) {
        int& axis = into[into.size() - arrays.size() + i];
        axis += value_of(arrays[i]).rank() + added;
        if (axis < 0)
          throw AxisError({.op = "vmap",
                           .got = "axis " + std::to_string(nb::cast<int>(axes)) + " of an array of shape " +
                                  to_string(value_of(arrays[i]).shape()),
                           .accepts = "an axis that exists" + std::string(added > 0 ? " behind the batch" : "")});
      }
    return;
  }
  const bool sequence = (PyTuple_Check(tree.ptr()) && PyTuple_Check(axes.ptr())) ||
                        (PyList_Check(tree.ptr()) && PyList_Check(axes.ptr()));
  if (sequence && nb::len(tree) == nb::len(axes)) {
    for (size_t i = 0; i < nb::len(tree); ++i) spread_axes(nb::object(tree[i]), nb::object(axes[i]), added, into);
    return;
  }
  if (PyDict_Check(tree.ptr()) && PyDict_Check(axes.ptr())) {
    for (auto [key, value] : nb::borrow<nb::dict>(tree)) {
      if (!nb::borrow<nb::dict>(axes).contains(key))
        throw ArgumentError({.op = "vmap", .got = "no axis for a key of a dict", .accepts = kAxesAccepted});
      spread_axes(value, nb::object(axes[key]), added, into);
    }
    return;
  }
  throw ArgumentError(
      {.op = "vmap",
       .got = "axes of type " + std::string(Py_TYPE(axes.ptr())->tp_name) + " that do not match the arguments",
       .accepts = kAxesAccepted});
}

nb::object vmap_call(const nb::object& f, const nb::object& in_axes, const nb::object& out_axes, nb::args args) {
  if (PyList_Check(in_axes.ptr()))
    throw ArgumentError({.op = "vmap",
                         .got = "in_axes as a list",
                         .accepts = "None, an int, or a tuple with one entry for each argument"});
  const nb::object tree = nb::borrow(args);
  std::vector<int> axes;
  spread_axes(tree, in_axes, 0, axes);
  const Tree taken = Tree::of(tree);
  const VmapTrace trace(taken.leaves, axes, transform_of("vmap", f));
  const nb::object result = checked(nb::steal(PyObject_CallObject(f.ptr(), taken.with(trace.inputs()).ptr())));
  const Tree out = Tree::of(result);
  std::vector<int> to;
  spread_axes(result, out_axes, 1, to);
  return out.with(trace.batched(out.leaves, to));
}

int derived_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (nb::inst_ready(self)) Py_VISIT(nb::inst_ptr<DerivedFunction>(self)->function.ptr());
  return 0;
}

int derived_clear(PyObject* self) {
  if (nb::inst_ready(self)) nb::inst_ptr<DerivedFunction>(self)->function.reset();
  return 0;
}

PyType_Slot derived_slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(derived_traverse)},
                               {Py_tp_clear, reinterpret_cast<void*>(derived_clear)},
                               {0, nullptr}};

}  // namespace

nb::object checked(nb::object result) {
  if (!result.is_valid()) throw nb::python_error();
  return result;
}

void check_callable(const char* op, nb::handle f) {
  if (!PyCallable_Check(f.ptr()))
    throw ArgumentTypeError(
        {.op = op, .got = "an object of type " + std::string(Py_TYPE(f.ptr())->tp_name), .accepts = "a function"});
}

void bind_transforms(nb::module_& m) {
  using Numbers = std::optional<std::variant<int, std::vector<int>>>;
  using Names = std::variant<std::string, std::vector<std::string>>;

  nb::class_<DerivedFunction>(m, "DerivedFunction", nb::type_slots(derived_slots), "A function that a transform made.")
      .def("__call__",
           [](const DerivedFunction& self, nb::args args, nb::kwargs kwargs) {
             const nb::object function = self.function;  // kept while it runs
             return self.call(function, std::move(args), std::move(kwargs));
           })
      .def_prop_ro("__wrapped__", [](const DerivedFunction& self) { return self.function; })
      .def("__getattr__",
           [](const DerivedFunction& self, nb::str name) { return nb::getattr(self.function, name); });  // __name__ ...

  m.def(
      "vjp",
      [](const nb::object& fun, nb::handle primals, nb::handle cotangents) {
        check_callable("vjp", fun);
        return derivative("vjp", fun, primals, cotangents, &GradTrace::pull_back);
      },
      nb::arg("fun"), nb::arg("primals"), nb::arg("cotangents"),
      nb::sig(
          "def vjp(fun: Callable, primals: list[array], cotangents: list[array]) -> tuple[list[array], list[array]]"),
      "Outputs of fun, and the product of the cotangents (one for each output) with its Jacobian, one for each primal.\n\n"
      "Shapes: a cotangent as its output, a gradient as its primal. Integer and bool primals have zeros.\n"
      "Errors: ValueError for counts and shapes that do not fit, and for what is no array; TransformError for an op that is\n"
      "not differentiable.");
  m.def(
      "jvp",
      [](const nb::object& fun, nb::handle primals, nb::handle tangents) {
        check_callable("jvp", fun);
        return derivative("jvp", fun, primals, tangents, &GradTrace::push_forward);
      },
      nb::arg("fun"), nb::arg("primals"), nb::arg("tangents"),
      nb::sig("def jvp(fun: Callable, primals: list[array], tangents: list[array]) -> tuple[list[array], list[array]]"),
      "Outputs of fun, and the product of its Jacobian with the tangents (one for each primal), one for each output.\n\n"
      "Shapes: a tangent as its primal, a result as its output. Errors: as vjp.");

  const auto differentiate = [](bool only_grad) {
    return [only_grad](const nb::object& fun, const Numbers& argnums, const Names& argnames) {
      check_callable("grad", fun);
      const GradTargets targets = targets_of(argnums, argnames);
      return DerivedFunction{fun, [targets, only_grad](const nb::object& f, nb::args args, nb::kwargs kwargs) {
                               return value_and_grad_call(f, targets, only_grad, std::move(args), std::move(kwargs));
                             }};
    };
  };
  m.def(
      "grad", differentiate(true), nb::arg("fun"), nb::arg("argnums") = nb::none(), nb::arg("argnames") = nb::list(),
      nb::sig(
          "def grad(fun: Callable[P, R], argnums: int | Sequence[int] | None = None, argnames: str | Sequence[str] = []) -> Callable[P, Any]"),
      "A function that returns the gradient of fun, a scalar, with respect to the arguments at argnums (the first by default) and argnames.\n\n"
      "Arguments may be trees of arrays; a gradient has the shapes and dtypes of its argument, and is a tuple of these for several\n"
      "argnums. Errors, when it is called: ValueError for a result that is not one element, for arguments that are not there or\n"
      "hold no array; TransformError for an op that is not differentiable.");
  m.def(
      "value_and_grad", differentiate(false), nb::arg("fun"), nb::arg("argnums") = nb::none(),
      nb::arg("argnames") = nb::list(),
      nb::sig(
          "def value_and_grad(fun: Callable[P, R], argnums: int | Sequence[int] | None = None, argnames: str | Sequence[str] = []) -> Callable[P, tuple[R, Any]]"),
      "A function that returns fun's result and its gradient. When fun returns a tuple the first entry is differentiated, the others are passed through.\n\n"
      "Shapes and dtypes: as grad. Errors: as grad.");

  m.def(
      "vmap",
      [](const nb::object& fun, const nb::object& in_axes, const nb::object& out_axes) {
        check_callable("vmap", fun);
        return DerivedFunction{fun, [in_axes, out_axes](const nb::object& f, nb::args args, nb::kwargs kwargs) {
                                 if (kwargs.size() > 0) throw nb::type_error("vmap: arguments are given by position");
                                 return vmap_call(f, in_axes, out_axes, std::move(args));
                               }};
      },
      nb::arg("fun"), nb::arg("in_axes").none() = 0, nb::arg("out_axes").none() = 0,
      nb::sig("def vmap(fun: Callable[P, R], in_axes: object = 0, out_axes: object = 0) -> Callable[P, R]"),
      "fun over a batch: in_axes names the batch axis of each argument (None: shared), out_axes where it goes in each result.\n\n"
      "Axes are ints or trees of these that match the arguments and results; all mapped extents are equal. Errors, when it is\n"
      "called: ValueError for extents that differ, for axes that do not exist or do not match; TransformError for an op without\n"
      "a rule.");
}

}  // namespace plait::python
